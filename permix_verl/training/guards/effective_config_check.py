"""What really runs (``live.py``), against what the configuration asks for."""

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
"""Configuration keys, and where their values show in the live record."""


def differences(config: Mapping[str, Any], live: Mapping[str, Section]) -> list[str]:
    """Where what runs is not what the configuration asks for.

    Args:
        config: verl's resolved configuration, as nested dicts.
        live: the record.

    Returns:
        A sentence for each difference. What the record does not hold, or only by a general name
        ("auto", "all-linear"), is not compared.
    """
    found = _schedule_differences(config, live.get("schedule", {}))
    for key, where in _EXPECTED:
        section, name = where.split(".")
        asked, running = _lookup(config, key), live.get(section, {}).get(name)
        if asked is None or asked in ("auto", "all-linear") or running is None or running == []:
            continue
        if where == "precision.base" and NF4_ENGINE in str(_lookup(config, f"{_MODEL}.external_lib")):
            asked = "nf4"  # verl reads the weights in model_dtype, and they are quantised then
        if _comparable(asked) != _comparable(running):
            found.append(f"{key}={asked} is asked for, and {name.replace('_', ' ')} {running} is what runs ({where})")
    return found


def _schedule_differences(config: Mapping[str, Any], schedule: Section) -> list[str]:
    """The learning rate's factor at every step against what verl's keys mean."""
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

    asked = [factor(step) for step in range(total + 1)]
    wrong = [step for step, (a, b) in enumerate(zip(asked, schedule["factors"], strict=True)) if abs(a - b) > 1e-6]
    if not wrong:
        return []
    step = wrong[0]
    return [
        f"{_ACTOR}.optim.lr_scheduler_type={kind} with {warmup} warm-up steps is asked for, and the learning rate's "
        f"factor at step {step} is {schedule['factors'][step]:.4g} instead of {asked[step]:.4g} (schedule.factors)"
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
