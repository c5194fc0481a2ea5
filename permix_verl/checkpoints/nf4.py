"""A frozen base in NF4 with double quantisation (appendix B.1 of the paper; QLoRA, arXiv 2305.14314), by bitsandbytes.

Stands alone: torch, and bitsandbytes when it is called.
"""

from collections.abc import Callable, Iterator
from typing import Any

import torch

BLOCK = 64
"""Weights that share a scale; the scales lie in 8 bits, 256 of them to one of 32 bits."""


def quantize_base(
    model: Any, dtype: torch.dtype, device: Any, share: Callable[[torch.Tensor], Any] | None = None
) -> Any:
    """Freeze a model on a device: linear layers in NF4, all else (embeddings, norms, the output layer) in ``dtype``.

    Layer by layer: beside what is quantised, one weight at a time is on the device as it was (on a CPU, all are).

    Args:
        model: Hugging Face's, whole or on the meta device.
        dtype: of the products, and of what is not quantised.
        share: makes a tensor that of all ranks, in place; what is on the meta device comes by it alone.

    Returns:
        The same model, changed.
    """
    head = model.get_output_embeddings()
    moved: dict[int, torch.nn.Parameter] = {}  # tied weights stay one

    def arrived(tensor: torch.Tensor, as_dtype: torch.dtype) -> torch.Tensor:
        there = (
            torch.empty(tensor.shape, dtype=as_dtype, device=device)
            if tensor.is_meta
            else tensor.detach().to(device, as_dtype).contiguous()
        )
        if share is not None:
            share(there)
        return there

    for parent, name, module in list(_with_parents(model)):
        if type(module) is torch.nn.Linear and module is not head:
            bias = None if module.bias is None else arrived(module.bias, dtype)
            setattr(parent, name, _linear_4bit(module, arrived(module.weight, dtype), bias, dtype))
            continue
        for own, parameter in list(module.named_parameters(recurse=False)):
            if id(parameter) not in moved:
                moved[id(parameter)] = torch.nn.Parameter(arrived(parameter, dtype), requires_grad=False)
            setattr(module, own, moved[id(parameter)])
        for own, buffer in list(module.named_buffers(recurse=False)):
            setattr(module, own, arrived(buffer, buffer.dtype))
    model.is_loaded_in_4bit = True  # PEFT asks this before it takes its own layer for 4-bit weights
    return model


def _with_parents(model: Any) -> Iterator[tuple[Any, str, Any]]:
    """(parent, name in it, module) of every module; the model itself has no parent."""
    yield None, "", model
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            yield module, name, child


def _linear_4bit(linear: Any, weight: torch.Tensor, bias: torch.Tensor | None, dtype: torch.dtype) -> Any:
    from bitsandbytes.nn.modules import Linear4bit, Params4bit

    layer = Linear4bit(
        linear.in_features, linear.out_features, bias=bias is not None, compute_dtype=dtype, device="meta"
    )
    # On CPUs with AVX512-BF16 bitsandbytes would lay out the bytes anew in the first forward pass without gradients.
    layer.support_avx512bf16_for_cpu = False
    packed = Params4bit(weight, requires_grad=False, blocksize=BLOCK, quant_type="nf4", module=layer)
    layer.weight = packed.to(weight.device)  # this quantises
    if bias is not None:
        layer.bias = torch.nn.Parameter(bias, requires_grad=False)
    return layer.train(linear.training)


def packed_weights(model: Any) -> dict[str, torch.Tensor]:
    """The 4-bit weights by name, two in a byte."""
    return {name: weight for name, weight in model.named_parameters() if hasattr(weight, "quant_state")}


def unpacked_weights(model: Any) -> list[str]:
    """Matrices that are not in 4 bits, but for embeddings and output layer.

    Such as the experts of a mixture, which transformers keeps as one tensor and not as linear layers.
    """
    ends = {id(module.weight) for module in (model.get_input_embeddings(), model.get_output_embeddings()) if module}
    return [
        name
        for name, weight in model.named_parameters()
        if weight.ndim > 1 and id(weight) not in ends and not hasattr(weight, "quant_state")
    ]
