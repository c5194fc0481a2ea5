"""Model sizes from the Hugging Face configuration, without reading weights."""

from dataclasses import dataclass
from typing import Any

from permix_verl.errors import UserError, first_line
from permix_verl.preflight.memory_plan.job import Job

EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts")
"""Configuration keys for the number of experts."""


@dataclass(frozen=True)
class ModelSize:
    """Sizes of a model.

    Attributes:
        weights: number of base weights.
        adapter_weights: number of LoRA weights.
        layers: decoder layers.
        kv_heads: key/value heads.
        head_width: values in one head.
        widest: largest number of activation values of one token in a layer.
        experts: True for a mixture of experts.
    """

    weights: int
    adapter_weights: int
    layers: int
    kv_heads: int
    head_width: int
    widest: int
    experts: bool = False

    @property
    def kv_values_per_token(self) -> int:
        """Values of one token in the KV cache, over all layers and heads."""
        return 2 * self.layers * self.kv_heads * self.head_width


def read_config(name: str) -> Any:
    """Read the configuration of a hub name or folder.

    Raises:
        UserError: unreadable, or not a decoder-only language model.
    """
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(name)
    except Exception as error:  # transformers raises many unrelated classes
        raise UserError(
            f"cannot read the configuration of {name} ({first_line(error)})", "give a hub name or a folder"
        ) from error
    missing = [key for key in ("num_hidden_layers", "hidden_size", "vocab_size") if not hasattr(config, key)]
    if missing:
        raise UserError(f"the configuration of {name} has no {missing[0]}", "give a decoder-only language model")
    return config


def measure(config: Any, job: Job) -> ModelSize:
    """Count the weights of the model and of its LoRA adapter, on PyTorch's meta device.

    Raises:
        UserError: the model cannot be built with the adapter.
    """
    import torch

    from permix_verl.preflight.memory_plan.trace import with_adapter

    try:
        with torch.device("meta"):
            model = with_adapter(job, config, torch.bfloat16)
    except Exception as error:
        raise UserError(
            f"{type(config).__name__} cannot be built with LoRA on {job.lora_targets} ({first_line(error)})",
            "give a decoder-only language model that works with PyTorch's attention",
        ) from error
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    whole = sum(p.numel() for p in model.parameters())
    heads = config.num_attention_heads
    kv_heads = getattr(config, "num_key_value_heads", None) or heads
    return ModelSize(
        weights=whole - trained,
        adapter_weights=trained,
        layers=config.num_hidden_layers,
        kv_heads=kv_heads,
        head_width=getattr(config, "head_dim", None) or config.hidden_size // heads,
        widest=2 * (getattr(config, "intermediate_size", None) or 4 * config.hidden_size) + config.hidden_size,
        experts=any(getattr(config, key, None) for key in EXPERTS),
    )
