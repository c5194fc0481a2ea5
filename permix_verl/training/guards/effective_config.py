"""Read the effective settings from verl's live optimizer, scheduler, adapter, engines and data loader.

A key that verl ignores passes every check of the configuration. We read the values from the objects that use them,
at the first step, write them to ``live.json``, and compare them with the configuration.
"""

from collections.abc import Mapping
from typing import Any

LIVE_FILE = "live.json"
START_ATTRIBUTE = "permix_start"
"""Attribute of verl's engine: its initial adapter weights, if they are the KL reference."""


class EngineDiedError(RuntimeError):
    """The rollout engine's process has died, but not its server."""


Section = dict[str, Any]


def read_engine(engine: Any) -> dict[str, Section]:
    """Return the sections ``optimizer``, ``schedule``, ``lora``, ``precision`` of verl's FSDP engine."""
    import torch

    optimizer, scheduler = engine.optimizer, engine.lr_scheduler
    group = optimizer.param_groups[0]
    trained = {name: p for name, p in engine.module.named_parameters() if p.requires_grad}
    frozen = [p for p in engine.module.parameters() if not p.requires_grad]
    packed = [p for p in frozen if getattr(p, "quant_type", None) == "nf4"]
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
        "lora": _read_lora(engine.module, trained, hasattr(engine, START_ATTRIBUTE)),
        "precision": {
            "adapter": _single_or_sorted({str(p.dtype) for p in trained.values()}),
            "base": "nf4" if packed else _single_or_sorted({str(p.dtype) for p in frozen}),
            "packed_weights": len(packed),
            "compute": str(getattr(policy, "param_dtype", None) or engine._autocast_dtype),
            "reduce": str(getattr(policy, "reduce_dtype", None)),
            "cuda": torch.version.cuda,
        },
    }


def _read_lora(module: Any, trained: Mapping[str, Any], starts_from_given: bool) -> Section:
    import torch
    from peft.tuners.lora import LoraLayer

    layers = {name: layer for name, layer in module.named_modules() if isinstance(layer, LoraLayer)}
    if not layers:
        return {}
    dropouts = [m for layer in layers.values() for m in layer.lora_dropout.modules()]
    return {
        "layers": len(layers),
        "target_modules": sorted({name.rsplit(".", 1)[1] for name in layers}),
        "rank": _single_or_sorted({rank for layer in layers.values() for rank in layer.r.values()}),
        "scaling": _single_or_sorted({scale for layer in layers.values() for scale in layer.scaling.values()}),
        "alpha": _single_or_sorted({alpha for layer in layers.values() for alpha in layer.lora_alpha.values()}),
        # PEFT uses nn.Identity if the probability is 0
        "dropout": _single_or_sorted({m.p for m in dropouts if isinstance(m, torch.nn.Dropout)} or {0.0}),
        "only_lora_is_trained": all("lora_" in name for name in trained),
        "reference": "the adapter that was given" if starts_from_given else "the base without an adapter",
    }


def read_worker(actor: Any) -> dict[str, Section]:
    """Return the settings of engine and loss; runs inside verl's training worker (``worker.__ray_call__``)."""
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
    """Return unfinished requests, their tokens so far, and the sampling parameters of one; runs in verl's vLLM server.

    Raises:
        EngineDiedError: the engine's process has died.
    """
    engine = getattr(server, "engine", None)
    if engine is None:  # a further node of a multi-node replica
        return None
    if engine.errored:
        raise EngineDiedError(f"its engine process has died, {type(engine.dead_error).__name__}")
    states = list(engine.output_processor.request_states.values())
    tokens = sum(state.detokenizer.num_output_tokens() for state in states if state.detokenizer)
    sampling = {}
    if states:
        first = states[0]
        sampling = {"temperature": first.temperature, "top_p": first.top_p, "max_tokens": first.max_tokens_param}
    return len(states), tokens, sampling


def read_engine_args(server: Any) -> Section:
    """Return the engine's settings; runs in verl's vLLM server."""
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
    """Return the settings of the trainer's training data loader."""
    dataset = trainer.train_dataset
    record = {"problems_per_step": trainer.config.data.train_batch_size, "steps": trainer.total_training_steps}
    if hasattr(dataset, "max_prompt_length"):
        record["max_prompt_tokens"] = dataset.max_prompt_length
    draw = getattr(dataset, "draw", None)
    if draw is None:  # a user's own dataset
        return record
    return record | {
        "problems_per_step": trainer.train_dataloader.batch_size,
        "rows": len(dataset.dataframe),
        "epochs": dataset.epochs,
        "personas": len(draw.pool),
        "dev_personas": list(draw.dev_personas),
        "persona_seed": draw.seed,
        "no_persona_probability": draw.no_persona_probability,
    }


def _single_or_sorted(values: set[Any]) -> Any:
    """Return the single value, or the sorted list if values differ (which then fails the comparison)."""
    return next(iter(values)) if len(values) == 1 else sorted(map(str, values))
