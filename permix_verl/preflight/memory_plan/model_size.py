"""A model's sizes, from its Hugging Face configuration; no weights are read."""

from dataclasses import dataclass
from typing import Any

from permix_verl.errors import UserError, first_line
from permix_verl.preflight.memory_plan.job import Job

EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts")
"""Configurations' names for how many experts there are."""


@dataclass(frozen=True)
class Model:
    """Sizes.

    Attributes:
        weights: of the base; ``adapter_weights`` of LoRA on it.
        layers: decoder layers.
        kv_heads: heads of keys and values; ``head_width`` is that of one.
        experts: whether a token passes through some of the weights only.
        widest: of what a token has at once in a layer's MLP and attention, in values.
    """

    weights: int
    adapter_weights: int
    layers: int
    kv_heads: int
    head_width: int
    widest: int
    experts: bool = False

    @property
    def cached_values(self) -> int:
        """Values that a token leaves in the cache of keys and values, all layers and heads."""
        return 2 * self.layers * self.kv_heads * self.head_width


def read_config(name: str) -> Any:
    """The configuration of a hub name or folder.

    Raises:
        UserError: it cannot be read, or it is none of a language model with decoder layers.
    """
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(name)
    except Exception as error:  # transformers has a class of its own for each way in which a file can be wrong
        raise UserError(
            f"cannot read the configuration of {name} ({first_line(error)}); give a hub name or a folder"
        ) from error
    missing = [key for key in ("num_hidden_layers", "hidden_size", "vocab_size") if not hasattr(config, key)]
    if missing:
        raise UserError(f"the configuration of {name} has no {missing[0]}; the plan knows decoder-only language models")
    return config


def measure(config: Any, job: Job) -> Model:
    """Count the weights of the model and of LoRA on it, on PyTorch's meta device."""
    import torch

    from permix_verl.preflight.memory_plan.trace import with_adapter

    try:
        with torch.device("meta"):
            model = with_adapter(job, config, torch.bfloat16)
    except Exception as error:
        raise UserError(
            f"{type(config).__name__} cannot be built with LoRA on {job.lora_targets} ({first_line(error)}); the plan "
            "knows decoder-only language models that PyTorch's attention serves"
        ) from error
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    whole = sum(p.numel() for p in model.parameters())
    heads = config.num_attention_heads
    kv_heads = getattr(config, "num_key_value_heads", None) or heads
    return Model(
        weights=whole - trained,
        adapter_weights=trained,
        layers=config.num_hidden_layers,
        kv_heads=kv_heads,
        head_width=getattr(config, "head_dim", None) or config.hidden_size // heads,
        widest=2 * (getattr(config, "intermediate_size", None) or 4 * config.hidden_size) + config.hidden_size,
        experts=any(getattr(config, key, None) for key in EXPERTS),
    )
