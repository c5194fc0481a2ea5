"""Whether a run asks for a base in NF4 (QLORA=1), and what must not be set beside it."""

import importlib.util
from collections.abc import Mapping

from permix_verl.errors import UserError

ENGINE = "permix_verl.training.qlora.engine"
"""What verl imports for it: ``model.external_lib``."""
INSTALL = "pip install -e '.[qlora]'"
_LIBRARY_KEYS = ("actor_rollout_ref.model.external_lib", "model.external_lib")
_ON_POLICY = "the rollout engine's base is not NF4, so its log-probs are another policy's"
_CONTRADICTIONS: Mapping[str, tuple[str, str]] = {
    "algorithm.rollout_correction.bypass_mode": (
        "true",
        f"{_ON_POLICY}; leave it False, so that the actor computes the old log-probs",
    ),
    "actor_rollout_ref.actor.policy_loss.loss_mode": (
        "bypass_mode",
        f"{_ON_POLICY}; leave it vanilla",
    ),
    "actor_rollout_ref.actor.use_rollout_log_probs": ("true", f"{_ON_POLICY}; leave it False"),
    "actor_rollout_ref.model.lora.merge": (
        "true",
        "the rollout engine would get 4-bit weights that it cannot read; leave it False: it gets the adapter",
    ),
    "actor_rollout_ref.actor.fsdp_config.offload_policy": (
        "true",
        "what FSDP does not shard it does not offload; set param_offload",
    ),
    "engine.offload_policy": ("true", "what FSDP does not shard it does not offload; set engine.param_offload"),
    "actor_rollout_ref.actor.checkpoint.save_lora_only": (
        "false",
        "verl cannot read 4-bit weights back; leave it True: the base never changes",
    ),
    "checkpoint.save_lora_only": (
        "false",
        "verl cannot read 4-bit weights back; leave it True: the base never changes",
    ),
}
"""Key to (the value that is refused, the reason with the remedy)."""
_STRATEGY_KEYS = ("actor_rollout_ref.actor.strategy", "engine.strategy")


def nf4_is_asked_for(settings: Mapping[str, object]) -> bool:
    """Whether these settings (by key) have verl import the engine with a base in NF4."""
    return any(ENGINE in str(settings.get(key)) for key in _LIBRARY_KEYS)


def bitsandbytes_is_there() -> bool:
    return importlib.util.find_spec("bitsandbytes") is not None


def refuse_contradictions(settings: Mapping[str, str]) -> None:
    """Refuse settings under which a base in NF4 would not be there, or not be what is trained.

    Raises:
        UserError: the first of them, with what to set instead.
    """
    if not nf4_is_asked_for(settings):
        return
    for library, strategy in zip(_LIBRARY_KEYS, _STRATEGY_KEYS, strict=True):
        value = settings.get(strategy, "fsdp")  # verl's default
        if library in settings and value != "fsdp2":
            raise UserError(f"{strategy}={value} has no base in NF4, without a word; QLORA=1 needs fsdp2")
    for key, (refused, reason) in _CONTRADICTIONS.items():
        value = settings.get(key, "")
        if value.lower() == refused:
            raise UserError(f"{key}={value} contradicts QLORA=1: {reason}")
