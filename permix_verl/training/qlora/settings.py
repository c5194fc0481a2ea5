"""Detect QLORA=1 in a run's settings, and refuse settings that contradict it."""

import importlib.util
from collections.abc import Mapping
from typing import Any

from permix_verl.errors import UserError

ENGINE = "permix_verl.training.qlora.engine"
"""Module that ``model.external_lib`` names for QLORA=1."""
INSTALL = "pip install -e '.[qlora]'"
_LIBRARY_KEYS = ("actor_rollout_ref.model.external_lib", "model.external_lib")
_ON_POLICY = "the rollout engine's base is not NF4, so its log-probs are another policy's"
_CONTRADICTIONS: Mapping[str, tuple[object, str, str]] = {
    "algorithm.rollout_correction.bypass_mode": (
        True,
        f"{_ON_POLICY}",
        "leave it False, so that the actor computes the old log-probs",
    ),
    "actor_rollout_ref.actor.policy_loss.loss_mode": (
        "bypass_mode",
        f"{_ON_POLICY}",
        "leave it vanilla",
    ),
    "actor_rollout_ref.actor.use_rollout_log_probs": (True, f"{_ON_POLICY}", "leave it False"),
    "actor_rollout_ref.model.lora.merge": (
        True,
        "the rollout engine would get 4-bit weights that it cannot read",
        "leave it False: it gets the adapter",
    ),
    "actor_rollout_ref.actor.fsdp_config.offload_policy": (
        True,
        "FSDP does not offload unsharded weights",
        "set param_offload",
    ),
    "engine.offload_policy": (True, "FSDP does not offload unsharded weights", "set engine.param_offload"),
    "actor_rollout_ref.actor.checkpoint.save_lora_only": (
        False,
        "verl cannot read 4-bit weights back",
        "leave it True: the base never changes",
    ),
    "checkpoint.save_lora_only": (
        False,
        "verl cannot read 4-bit weights back",
        "leave it True: the base never changes",
    ),
}
"""Key -> (refused value, reason, remedy)."""
_STRATEGY_KEYS = ("actor_rollout_ref.actor.strategy", "engine.strategy")


def nf4_requested(settings: Mapping[str, object]) -> bool:
    """Return whether these settings (by key) select the engine with an NF4 base."""
    return any(ENGINE in str(settings.get(key)) for key in _LIBRARY_KEYS)


def has_bitsandbytes() -> bool:
    return importlib.util.find_spec("bitsandbytes") is not None


def refuse_contradictions(settings: Mapping[str, Any]) -> None:
    """Refuse settings under which QLORA=1 would have no effect, or train something else.

    Raises:
        UserError: the first such setting.
    """
    if not nf4_requested(settings):
        return
    for library, strategy in zip(_LIBRARY_KEYS, _STRATEGY_KEYS, strict=True):
        value = settings.get(strategy, "fsdp")  # verl's default
        if ENGINE in str(settings.get(library)) and value != "fsdp2":
            raise UserError(f"{strategy}={value} silently ignores QLORA=1", "set fsdp2")
    for key, (refused, reason, remedy) in _CONTRADICTIONS.items():
        value = settings.get(key)
        if value == refused and value is not None:
            raise UserError(f"{key}={value} contradicts QLORA=1: {reason}", remedy)
