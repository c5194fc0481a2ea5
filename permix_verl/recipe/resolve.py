"""A method's configuration from what the user gave: knobs, overrides, and this machine."""

from collections.abc import Mapping, Sequence

from permix_verl.config.compose import RunConfig, compose_method, parse_overrides
from permix_verl.config.generated import LEVELS
from permix_verl.config.knobs import KNOB_SETTING, knob_overrides, knob_values
from permix_verl.config.methods import METHODS
from permix_verl.errors import UserError
from permix_verl.recipe.conditions import consequences
from permix_verl.recipe.hardware import choose_preset, choose_profile, drop_inapplicable, hardware_overrides
from permix_verl.utils.nvidia_smi import query_gpus


def split_settings(settings: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """Return the knobs, name -> value, and the Hydra overrides among a command's settings."""
    matches = [KNOB_SETTING.fullmatch(text) for text in settings]
    knobs = {match[1]: match[2] for match in matches if match}
    return knobs, [text for text, match in zip(settings, matches, strict=True) if not match]


def resolve(method: str, settings: Sequence[str], environment: Mapping[str, str]) -> RunConfig:
    """Compose a method's configuration once, for everything that a run does with it.

    Args:
        method: one of ``METHODS``.
        settings: KNOB=VALUE and Hydra overrides, as on the command line.
        environment: variables, of which knobs are read.

    Raises:
        UserError: an unknown method, knob, key or value; settings that exclude each other.
    """
    if method not in METHODS:
        raise UserError(f"unknown recipe {method!r}", f"known: {', '.join(METHODS)}")
    arguments, overrides = split_settings(settings)
    knobs = knob_values(METHODS[method], environment, arguments)
    gpu_names = [name for (name,) in query_gpus("name")]
    given = parse_overrides([*knob_overrides(knobs), *overrides])
    profile = choose_profile(given, gpu_names)
    preset = choose_preset(given, profile)
    user = [*knob_overrides(drop_inapplicable(knobs, profile, lab=preset in LEVELS)), *overrides]
    chosen = [f"preset={preset}", *hardware_overrides(parse_overrides(user), profile, gpu_names)]
    config = compose_method(method, chosen, user)
    implied = consequences(config)
    return compose_method(method, chosen, user, implied) if implied else config
