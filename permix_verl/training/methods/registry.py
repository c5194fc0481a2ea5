"""The extensions that a configuration switches on."""

from collections.abc import Iterator

from permix_verl.config.extension_keys import CHOICES, DEFAULTS
from permix_verl.errors import UserError
from permix_verl.training.hooks.buffer_hooks import RunContext
from permix_verl.training.methods.cross_persona_groups import CrossPersonaGroups
from permix_verl.training.methods.dynamic_sampling import RefillGroups, RetireProblems
from permix_verl.training.methods.extension import Extension
from permix_verl.training.methods.persona_adoption import PersonaAdoption
from permix_verl.training.methods.persona_sampling import PersonaSampling


def extensions(run: RunContext) -> list[Extension]:
    """Return the extensions of a run, in the order in which they change its prompts.

    Raises:
        UserError: a value that does not exist, or a class of ``permix.extensions`` that cannot be loaded.
    """
    return list(_extensions(run))


def _extensions(run: RunContext) -> Iterator[Extension]:
    ours = run.trainer.config.get("permix") or {}
    chosen = {key: str(ours.get(key, DEFAULTS[key])) for key in CHOICES}
    for key, value in chosen.items():
        if value not in CHOICES[key]:
            raise UserError(f"permix.{key}={value}: no such value", f"known: {' '.join(CHOICES[key])}")
    if chosen["dynamic_sampling"] == "retire":
        yield RetireProblems(run)
    if chosen["groups"] == "personas":
        yield CrossPersonaGroups(run)
    if chosen["persona_sampling"] != "uniform":
        yield PersonaSampling(run)
    for place in ours.get("extensions") or ():
        yield _own(str(place))(run)
    if str(ours.get("style", DEFAULTS["style"])) != "off":
        yield PersonaAdoption(run)
    if chosen["dynamic_sampling"] == "refill":
        yield RefillGroups(run)


def _own(place: str) -> type[Extension]:
    """Return the user's class, given as ``FILE.py:CLASS`` or ``pkg://MODULE:CLASS``.

    Raises:
        UserError: it cannot be loaded, or is no extension.
    """
    from verl.utils.import_utils import load_module

    path, _, name = place.rpartition(":")
    try:
        found = getattr(load_module(path), name)
    except Exception as error:
        raise UserError(
            f"permix.extensions: {place} cannot be loaded ({error})", "give FILE.py:CLASS, or pkg://MODULE:CLASS"
        ) from error
    if not (isinstance(found, type) and issubclass(found, Extension)):
        raise UserError(
            f"permix.extensions: {place} is no Extension",
            "derive it from permix_verl.training.methods.extension.Extension",
        )
    return found
