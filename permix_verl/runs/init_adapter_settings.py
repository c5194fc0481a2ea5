"""Whether a run goes on from a given adapter (INIT_ADAPTER), and whether its settings are those of that adapter."""

from collections.abc import Mapping
from pathlib import Path

from permix_verl.errors import UserError
from permix_verl.runs.given_adapter import GivenAdapter, read_given

KEY = "permix.init_adapter"
REFERENCE = "permix_verl.training.hooks.frozen_reference"
"""What verl imports, so that the KL reference is the adapter that was given: ``model.external_lib``."""
_MODELS = {"actor_rollout_ref.model": "actor_rollout_ref.actor.strategy", "model": "engine.strategy"}
"""Prefix of the model's keys, and the key of the engine, of GRPO and of SFT."""


def given_in(settings: Mapping[str, str]) -> Path | None:
    """The folder that these settings (by key) go on from."""
    value = settings.get(KEY)
    return Path(value) if value else None


def start_of(settings: Mapping[str, str]) -> Path | None:
    """The run's own copy of the adapter that these settings go on from."""
    if given_in(settings) is None:
        return None
    return next(Path(settings[key]) for model in _MODELS if (key := f"{model}.lora_adapter_path") in settings)


def refuse_unfit_adapter(settings: Mapping[str, str]) -> None:
    """Refuse an adapter in verl's key, one that cannot be gone on from, and settings that are not its own.

    Raises:
        UserError: the first of them, with what to set instead.
    """
    for model, strategy in _MODELS.items():
        if f"{model}.lora_adapter_path" in settings:
            _refuse_another_path(settings, model)
            given = given_in(settings)
            if given is not None:
                _compare(settings, model, read_given(given))
                if model != "model":
                    _refuse_another_reference(settings, model, strategy)


def _refuse_another_path(settings: Mapping[str, str], model: str) -> None:
    """verl would load it, with its own dropout, and compare with the base without any adapter."""
    path, checkpoints = settings[f"{model}.lora_adapter_path"], settings.get("trainer.default_local_dir")
    if not checkpoints or path == "null" or path == str(Path(checkpoints).parent / "initial_adapter"):
        return
    why = "" if model == "model" else "the KL reference would be the base without it; "
    raise UserError(f"{model}.lora_adapter_path={path}: {why}set INIT_ADAPTER={path}, to go on from that adapter")


def _compare(settings: Mapping[str, str], model: str, given: GivenAdapter) -> None:
    own = {
        f"{model}.lora_rank": str(given.rank),
        f"{model}.lora_alpha": str(given.alpha),
        f"{model}.target_modules": given.modules,
    }
    for key, value in own.items():
        asked = settings.get(key, "")
        found = tuple(sorted(asked.strip("[]").replace(" ", "").split(","))) if isinstance(value, tuple) else asked
        if found != value:
            shown = f"[{','.join(value)}]" if isinstance(value, tuple) else value
            raise UserError(
                f"{key}={asked}, and INIT_ADAPTER={given.path} has {shown}; leave it unset, and it is the adapter's"
            )


def _refuse_another_reference(settings: Mapping[str, str], model: str, strategy: str) -> None:
    library = settings.get(f"{model}.external_lib", "null")
    if REFERENCE not in library:
        raise UserError(
            f"{model}.external_lib={library} leaves out {REFERENCE}, without which the KL reference is the base and "
            "not INIT_ADAPTER; put it into the list"
        )
    if settings.get(strategy) != "fsdp2":
        raise UserError(f"{strategy}={settings.get(strategy)}: INIT_ADAPTER's KL reference needs fsdp2; leave it so")
