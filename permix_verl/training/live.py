"""What really runs: settings read back from verl's live optimizer, scheduler, adapter, engines and data loader.

A key that verl ignores passes every check of the configuration. So the values are
read from the objects that use them, at the first step, written to ``live.json``, and
compared with what the configuration asked for.
"""

import math
from collections.abc import Mapping
from typing import Any

LIVE_FILE = "live.json"


class EngineDiedError(RuntimeError):
    """The rollout engine's process is gone; its server is still there."""


Section = dict[str, Any]


def read_engine(engine: Any) -> dict[str, Section]:
    """From verl's FSDP engine: ``optimizer``, ``schedule``, ``lora``, ``precision``."""
    import torch

    optimizer, scheduler = engine.optimizer, engine.lr_scheduler
    group = optimizer.param_groups[0]
    trained = {name: p for name, p in engine.module.named_parameters() if p.requires_grad}
    frozen = [p for p in engine.module.parameters() if not p.requires_grad]
    total = engine.optimizer_config.total_training_steps
    factors = [float(scheduler.lr_lambdas[0](step)) for step in range(total + 1)]
    state = getattr(engine.module, "_get_fsdp_state", lambda: None)()
    policy = getattr(state, "_mp_policy", None)
    return {
        "optimizer": {
            "class": type(optimizer).__name__,
            "fused": bool(group.get("fused")),
            "lr": scheduler.base_lrs[0],
            "betas": list(group["betas"]),
            "weight_decay": group["weight_decay"],
            "clip_grad": engine.optimizer_config.clip_grad,
            "trained_parameters": sum(p.numel() for p in trained.values()),
        },
        "schedule": {"total_steps": total, "warmup_steps": factors.index(max(factors)), "factors": factors},
        "lora": _read_lora(engine.module, trained),
        "precision": {
            "adapter": _only({str(p.dtype) for p in trained.values()}),
            "base": _only({str(p.dtype) for p in frozen}),
            "compute": str(getattr(policy, "param_dtype", None) or engine._autocast_dtype),
            "reduce": str(getattr(policy, "reduce_dtype", None)),
            "cuda": torch.version.cuda,
        },
    }


def _read_lora(module: Any, trained: Mapping[str, Any]) -> Section:
    import torch
    from peft.tuners.lora import LoraLayer

    layers = {name: layer for name, layer in module.named_modules() if isinstance(layer, LoraLayer)}
    if not layers:
        return {}
    dropouts = [m for layer in layers.values() for m in layer.lora_dropout.modules()]
    return {
        "layers": len(layers),
        "target_modules": sorted({name.rsplit(".", 1)[1] for name in layers}),
        "rank": _only({rank for layer in layers.values() for rank in layer.r.values()}),
        "scaling": _only({scale for layer in layers.values() for scale in layer.scaling.values()}),
        "alpha": _only({alpha for layer in layers.values() for alpha in layer.lora_alpha.values()}),
        # peft puts nn.Identity where the probability is 0
        "dropout": _only({m.p for m in dropouts if isinstance(m, torch.nn.Dropout)} or {0.0}),
        "only_lora_is_trained": all("lora_" in name for name in trained),
    }


def read_worker(actor: Any) -> dict[str, Section]:
    """Run inside verl's training worker (``worker.__ray_call__``): its engine and its loss."""
    worker = next(iter(actor.worker_dict.values())) if hasattr(actor, "worker_dict") else actor
    config = worker.loss_fn.keywords["config"]  # a partial of verl's ppo_loss over the live config
    return {
        **read_engine(worker.actor.engine),
        "loss": {
            "use_kl_loss": config.use_kl_loss,
            "kl_loss_coef": config.kl_loss_coef,
            "kl_loss_type": config.kl_loss_type,
            "aggregation": config.loss_agg_mode,
            "clip_ratio": config.clip_ratio,
            "mini_batch": config.ppo_mini_batch_size,
            "update_epochs": config.ppo_epochs,
        },
    }


def read_server(server: Any) -> tuple[int, int, dict[str, Any]] | None:
    """Run inside verl's vLLM server: unfinished requests, their tokens so far, and the sampling of one of them.

    Raises:
        EngineDiedError: the engine's process has died.
    """
    engine = getattr(server, "engine", None)
    if engine is None:  # a node of a replica that spans several, without requests of its own
        return None
    if engine.errored:
        raise EngineDiedError(f"its engine process has died, {type(engine.dead_error).__name__}")
    states = list(engine.output_processor.request_states.values())
    tokens = sum(state.detokenizer.num_output_tokens() for state in states if state.detokenizer)
    sampling = {}
    if states:
        one = states[0]
        sampling = {"temperature": one.temperature, "top_p": one.top_p, "max_tokens": one.max_tokens_param}
    return len(states), tokens, sampling


def read_engine_args(server: Any) -> Section:
    """Run inside verl's vLLM server: how its engine was built."""
    config = server.engine.vllm_config
    return {
        "model_dtype": str(config.model_config.dtype),
        "max_model_len": config.model_config.max_model_len,
        "load_format": str(getattr(config.load_config.load_format, "value", config.load_config.load_format)),
        "max_lora_rank": config.lora_config.max_lora_rank if config.lora_config else None,
        "tensor_parallel": config.parallel_config.tensor_parallel_size,
        "prefix_caching": config.cache_config.enable_prefix_caching,
    }


def read_data(trainer: Any) -> Section:
    """From verl's trainer: its training data loader."""
    dataset = trainer.train_dataset
    record = {"problems_per_step": trainer.config.data.train_batch_size, "steps": trainer.total_training_steps}
    if hasattr(dataset, "max_prompt_length"):
        record["max_prompt_tokens"] = dataset.max_prompt_length
    draw = getattr(dataset, "draw", None)
    if draw is None:  # data of the user's own
        return record
    return record | {
        "problems_per_step": trainer.train_dataloader.batch_size,
        "rows": len(dataset.dataframe),
        "epochs": dataset.epochs,
        "personas": len(draw.pool),
        "persona_seed": draw.seed,
        "no_persona_probability": draw.no_persona_probability,
    }


def _only(values: set[Any]) -> Any:
    """The one value, or all of them where there are several: a mixture equals nothing that was asked for."""
    return next(iter(values)) if len(values) == 1 else sorted(map(str, values))


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
