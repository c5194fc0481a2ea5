"""Compare the effective settings (``effective_config.py``) with the configuration."""

import math
from collections.abc import Mapping
from typing import Any

from permix_verl.training.guards.effective_config import Section
from permix_verl.training.qlora.settings import ENGINE as NF4_ENGINE

_DTYPES = {
    name: f"torch.{dtype}"
    for dtype, names in {
        "float32": ("fp32", "float32", "float"),
        "bfloat16": ("bf16", "bfloat16"),
        "float16": ("fp16", "float16", "half"),
    }.items()
    for name in names
}
_ACTOR, _ROLLOUT, _MODEL = (f"actor_rollout_ref.{part}" for part in ("actor", "rollout", "model"))
_EXPECTED: tuple[tuple[str, str], ...] = (
    ("data.train_batch_size", "data.problems_per_step"),
    ("data.epochs", "data.epochs"),
    ("data.max_prompt_length", "data.max_prompt_tokens"),
    ("data.max_response_length", "sampling.max_tokens"),
    ("data.seed", "data.persona_seed"),
    (f"{_ROLLOUT}.n", "sampling.samples_per_problem"),
    (f"{_ROLLOUT}.temperature", "sampling.temperature"),
    (f"{_ROLLOUT}.load_format", "rollout.load_format"),
    (f"{_ROLLOUT}.dtype", "rollout.model_dtype"),
    (f"{_ROLLOUT}.tensor_model_parallel_size", "rollout.tensor_parallel"),
    (f"{_ACTOR}.optim.lr", "optimizer.lr"),
    (f"{_ACTOR}.optim.weight_decay", "optimizer.weight_decay"),
    (f"{_ACTOR}.optim.clip_grad", "optimizer.clip_grad"),
    (f"{_ACTOR}.optim.override_optimizer_config.fused", "optimizer.fused"),
    (f"{_ACTOR}.fsdp_config.model_dtype", "precision.base"),
    (f"{_ACTOR}.fsdp_config.mixed_precision.param_dtype", "precision.compute"),
    (f"{_ACTOR}.use_kl_loss", "loss.use_kl_loss"),
    (f"{_ACTOR}.kl_loss_coef", "loss.kl_loss_coef"),
    (f"{_ACTOR}.kl_loss_type", "loss.kl_loss_type"),
    (f"{_MODEL}.lora_rank", "lora.rank"),
    (f"{_MODEL}.lora_alpha", "lora.alpha"),
    (f"{_MODEL}.target_modules", "lora.target_modules"),
    ("permix.lora_dropout", "lora.dropout"),
)
"""(configuration key, section.name in the live record)."""


def find_differences(config: Mapping[str, Any], live: Mapping[str, Section]) -> list[str]:
    """Return a sentence per effective setting that differs from the configuration.

    Values missing in the record, and values configured by a general name ("auto", "all-linear"), are not compared.

    Args:
        config: verl's resolved configuration, as nested dicts.
        live: the record of ``live.json``.
    """
    problems = _schedule_differences(config, live.get("schedule", {}))
    for key, position in _EXPECTED:
        section, name = position.split(".")
        configured, effective = _lookup(config, key), live.get(section, {}).get(name)
        if configured is None or configured in ("auto", "all-linear") or effective is None or effective == []:
            continue
        if position == "precision.base" and NF4_ENGINE in str(_lookup(config, f"{_MODEL}.external_lib")):
            configured = "nf4"  # verl reads the weights in model_dtype, then they are quantized
        if _comparable(configured) != _comparable(effective):
            problems.append(
                f"{key}={configured} is configured, but {name.replace('_', ' ')} is {effective} ({position})"
            )
    return problems


def _schedule_differences(config: Mapping[str, Any], schedule: Section) -> list[str]:
    """Compare the learning rate's factor at every step with the configured schedule."""
    optim = _lookup(config, f"{_ACTOR}.optim") or {}
    kind = optim.get("lr_scheduler_type")
    if not schedule or kind not in ("cosine", "constant") or optim.get("min_lr_ratio") or optim.get("lr_warmup_init"):
        return []
    total = schedule["total_steps"]
    warmup = optim.get("lr_warmup_steps", -1)
    if warmup is None or warmup <= 0:
        warmup = int(optim.get("lr_warmup_steps_ratio", 0.0) * total)

    def factor(step: int) -> float:
        if step < warmup:
            return step / warmup
        progress = (step - warmup) / max(1, total - warmup)
        return 0.5 * (1 + math.cos(math.pi * progress)) if kind == "cosine" else 1.0

    configured = [factor(step) for step in range(total + 1)]
    factors = zip(configured, schedule["factors"], strict=True)
    wrong = [step for step, (expected, actual) in enumerate(factors) if abs(expected - actual) > 1e-6]
    if not wrong:
        return []
    step = wrong[0]
    return [
        f"{_ACTOR}.optim.lr_scheduler_type={kind} with {warmup} warm-up steps is configured, but the learning "
        f"rate's factor at step {step} is {schedule['factors'][step]:.4g} instead of {configured[step]:.4g} "
        "(schedule.factors)"
    ]


def _lookup(config: Mapping[str, Any], key: str) -> Any:
    value: Any = config
    for part in key.split("."):
        if not isinstance(value, Mapping) or part not in value:
            return None
        value = value[part]
    return value


def _comparable(value: Any) -> Any:
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int | float):
        return float(value)
    if isinstance(value, list):
        return sorted(map(str, value))
    return _DTYPES.get(str(value), str(value))
