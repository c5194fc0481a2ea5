"""Frozen base in NF4 with double quantization (arXiv 2604.08986, appendix B.1; QLoRA, arXiv 2305.14314).

Uses torch, and bitsandbytes when called.
"""

from collections.abc import Callable, Iterator
from typing import Any

import torch

BLOCK = 64
"""Weights per 8-bit scale; 256 scales share a 32-bit one."""


def quantize_base(
    model: Any, dtype: torch.dtype, device: Any, broadcast: Callable[[torch.Tensor], Any] | None = None
) -> Any:
    """Freeze a model on a device: linear layers in NF4, all else (embeddings, norms, the output layer) in ``dtype``.

    It works layer by layer, so at most one unquantized weight is on the device at a time (on a CPU, all are).

    Args:
        model: Hugging Face model, loaded or on the meta device.
        dtype: data type of matrix products, and of unquantized weights.
        broadcast: in-place broadcast from rank 0; tensors on the meta device are filled by it.

    Returns:
        The same model, modified.
    """
    head = model.get_output_embeddings()
    moved: dict[int, torch.nn.Parameter] = {}  # by id, so that tied weights stay tied

    def to_device(tensor: torch.Tensor, as_dtype: torch.dtype) -> torch.Tensor:
        copy = (
            torch.empty(tensor.shape, dtype=as_dtype, device=device)
            if tensor.is_meta
            else tensor.detach().to(device, as_dtype).contiguous()
        )
        if broadcast is not None:
            broadcast(copy)
        return copy

    for parent, name, module in list(_with_parents(model)):
        if type(module) is torch.nn.Linear and module is not head:
            bias = None if module.bias is None else to_device(module.bias, dtype)
            setattr(parent, name, _linear_4bit(module, to_device(module.weight, dtype), bias, dtype))
            continue
        for own, parameter in list(module.named_parameters(recurse=False)):
            if id(parameter) not in moved:
                moved[id(parameter)] = torch.nn.Parameter(to_device(parameter, dtype), requires_grad=False)
            setattr(module, own, moved[id(parameter)])
        for own, buffer in list(module.named_buffers(recurse=False)):
            setattr(module, own, to_device(buffer, buffer.dtype))
    model.is_loaded_in_4bit = True  # PEFT then uses its LoRA layer for 4-bit weights
    return model


def _with_parents(model: Any) -> Iterator[tuple[Any, str, Any]]:
    """Yield (parent, name in it, module) of every module; the model itself has no parent."""
    yield None, "", model
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            yield module, name, child


def _linear_4bit(linear: Any, weight: torch.Tensor, bias: torch.Tensor | None, dtype: torch.dtype) -> Any:
    from bitsandbytes.nn.modules import Linear4bit, Params4bit

    layer = Linear4bit(
        linear.in_features, linear.out_features, bias=bias is not None, compute_dtype=dtype, device="meta"
    )
    # On CPUs with AVX512-BF16, bitsandbytes would reorder the bytes in the first forward pass without gradients.
    layer.support_avx512bf16_for_cpu = False
    packed = Params4bit(weight, requires_grad=False, blocksize=BLOCK, quant_type="nf4", module=layer)
    layer.weight = packed.to(weight.device)  # this quantizes
    if bias is not None:
        layer.bias = torch.nn.Parameter(bias, requires_grad=False)
    return layer.train(linear.training)


def packed_weights(model: Any) -> dict[str, torch.Tensor]:
    """Return name -> 4-bit weight, two values per byte."""
    return {name: weight for name, weight in model.named_parameters() if hasattr(weight, "quant_state")}


def unpacked_weights(model: Any) -> list[str]:
    """Return the names of matrices that are not in 4 bits, except embeddings and output layer.

    An example are a mixture's experts, which transformers stores as one tensor, not as linear layers.
    """
    ends = {id(module.weight) for module in (model.get_input_embeddings(), model.get_output_embeddings()) if module}
    return [
        name
        for name, weight in model.named_parameters()
        if weight.ndim > 1 and id(weight) not in ends and not hasattr(weight, "quant_state")
    ]
