"""Settings of a run that starts from a given adapter (INIT_ADAPTER), compared with the adapter's own."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from permix_verl.config.quoting import render_value
from permix_verl.errors import UserError
from permix_verl.runs.given_adapter import GivenAdapter, read_given_adapter

INIT_ADAPTER_KEY = "permix.init_adapter"
FROZEN_REFERENCE = "permix_verl.training.hooks.frozen_reference"
"""Module in ``model.external_lib`` that makes the given adapter the KL reference."""
_MODELS = {"actor_rollout_ref.model": "actor_rollout_ref.actor.strategy", "model": "engine.strategy"}
"""Prefix of the model's keys -> key of the engine's strategy, for GRPO and SFT."""


def init_adapter_path(settings: Mapping[str, Any]) -> Path | None:
    """Return the adapter folder that the settings name, if any."""
    value = settings.get(INIT_ADAPTER_KEY)
    return Path(value) if value else None


def init_adapter_copy(settings: Mapping[str, Any]) -> Path | None:
    """Return the run's copy of the adapter that the settings name, if any."""
    if init_adapter_path(settings) is None:
        return None
    return next(Path(path) for model in _MODELS if (path := settings.get(f"{model}.lora_adapter_path")))


def refuse_unfit_adapter(settings: Mapping[str, Any]) -> None:
    """Refuse an adapter set through verl's own key, an unsupported adapter, and settings that differ from its own.

    Raises:
        UserError: the first such setting, and what to set instead.
    """
    for model, strategy in _MODELS.items():
        if f"{model}.lora_adapter_path" in settings:
            refuse_another_path(settings, model)
            given = init_adapter_path(settings)
            if given is not None:
                _compare(settings, model, read_given_adapter(given))
                if model != "model":
                    _refuse_another_reference(settings, model, strategy)


def refuse_another_path(settings: Mapping[str, Any], model: str) -> None:
    """Refuse another ``lora_adapter_path``: verl would keep its dropout, and use the bare base as KL reference."""
    path, checkpoints = settings[f"{model}.lora_adapter_path"], settings.get("trainer.default_local_dir")
    if not checkpoints or path is None or path == str(Path(checkpoints).parent / "initial_adapter"):
        return
    why = "verl would load it with its own dropout" + (
        "" if model == "model" else ", and the KL reference would be the base without it"
    )
    raise UserError(f"{model}.lora_adapter_path={path}: {why}", f"set INIT_ADAPTER={path} to start from that adapter")


def _compare(settings: Mapping[str, Any], model: str, given: GivenAdapter) -> None:
    own = {
        f"{model}.lora_rank": given.rank,
        f"{model}.lora_alpha": given.alpha,
        f"{model}.target_modules": list(given.modules),
    }
    for key, value in own.items():
        setting = settings.get(key)
        if (sorted(setting) if isinstance(setting, list) else setting) != value:
            raise UserError(
                f"{key}={render_value(setting)}, but INIT_ADAPTER={given.path} has {render_value(value)}",
                "leave it unset to use the adapter's value",
            )


def _refuse_another_reference(settings: Mapping[str, Any], model: str, strategy: str) -> None:
    library = settings.get(f"{model}.external_lib")
    if FROZEN_REFERENCE not in str(library):
        raise UserError(
            f"{model}.external_lib={render_value(library)} lacks {FROZEN_REFERENCE}, without which the KL "
            "reference is the base instead of INIT_ADAPTER",
            "add it to the list",
        )
    if settings.get(strategy) != "fsdp2":
        raise UserError(
            f"{strategy}={settings.get(strategy)}: the KL reference of INIT_ADAPTER needs fsdp2", "set fsdp2"
        )
