#!/usr/bin/env python
"""Speed of LoRA on CPU: our single-adapter product against vLLM's kernels, in one process.

    python benchmarks/cpu_lora_kernels.py

Prints, for shapes of a tiny model and of larger ones, the speed-up and the largest difference
between the two results.
"""

import time
from collections.abc import Callable
from statistics import median
from typing import Any

import torch

from permix_verl.platform_cpu.patches import _for_one_adapter

SHAPES = ((128, 96, 96, 16), (128, 96, 256, 16), (128, 896, 896, 32), (64, 2048, 2048, 32))
"""Shapes: tokens in the batch, input width, output width, rank."""
REPEATS = 15


def seconds(kernel: Callable[..., None], *arguments: Any) -> float:
    """Return the median seconds of a call."""
    kernel(*arguments)
    times = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        kernel(*arguments)
        times.append(time.perf_counter() - began)
    return median(times)


def main() -> None:
    from vllm.lora.ops.torch_ops import lora_ops

    ours = {
        name: _for_one_adapter(getattr(lora_ops, name), add)
        for name, add in (("bgmv_shrink", None), ("bgmv_expand_slice", True))
    }
    print(f"{'tokens':>6} {'in':>5} {'out':>5} {'rank':>4} {'shrink':>8} {'expand':>8} {'difference':>10}")
    for tokens, wide_in, wide_out, rank in SHAPES:
        torch.manual_seed(0)
        x, a = torch.randn(tokens, wide_in), torch.randn(2, 1, rank, wide_in)
        low, b = torch.randn(tokens, rank), torch.randn(2, 1, wide_out, rank)
        indices = torch.zeros(tokens, dtype=torch.long)
        ratios, difference = [], 0.0
        calls: tuple[tuple[str, tuple[Any, ...], tuple[Any, ...], int], ...] = (
            ("bgmv_shrink", (x, a), (2.0,), rank),
            ("bgmv_expand_slice", (low, b), (0, wide_out, False), wide_out),
        )
        for name, given, rest, width in calls:
            theirs_out, ours_out = torch.zeros(tokens, width), torch.zeros(tokens, width)
            theirs = seconds(getattr(lora_ops, name), *given, theirs_out, indices, *rest)
            mine = seconds(ours[name], *given, ours_out, indices, *rest)
            ratios.append(theirs / mine)
            difference = max(difference, float((theirs_out - ours_out).abs().max()))
        shape = f"{tokens:>6} {wide_in:>5} {wide_out:>5} {rank:>4}"
        print(f"{shape} {ratios[0]:>7.1f}x {ratios[1]:>7.1f}x {difference:>10.1e}")


if __name__ == "__main__":
    main()
