"""Known GPUs, by their data sheets."""

import re
from dataclasses import dataclass

from permix_verl.errors import UserError


@dataclass(frozen=True)
class GpuSpec:
    """Specification of one GPU.

    Attributes:
        name: name in ``nvidia-smi``, or a part of it.
        memory: usable bytes.
        flops: peak dense bf16 FLOP/s with float32 accumulation.
        bandwidth: peak memory bandwidth, bytes/s.
        link: bytes/s received from other GPUs: NVLink where the GPU has it, else PCIe.
    """

    name: str
    memory: int
    flops: float
    bandwidth: float
    link: float


def _gpu(name: str, mib: int, tflops: float, gb_s: float, link_gb_s: float) -> GpuSpec:
    return GpuSpec(name, mib << 20, tflops * 1e12, gb_s * 1e9, link_gb_s * 1e9)


KNOWN = (
    _gpu("RTX A5000", 24564, 111, 768, 20),
    _gpu("RTX A6000", 49140, 155, 768, 20),
    _gpu("RTX 3090", 24576, 71, 936, 20),
    _gpu("RTX 4090", 24564, 165, 1008, 20),
    _gpu("L40S", 46068, 362, 864, 20),
    _gpu("L4", 23034, 121, 300, 20),
    _gpu("A10", 23028, 125, 600, 20),
    _gpu("A100-40GB", 40960, 312, 1555, 200),
    _gpu("A100-80GB", 81920, 312, 2039, 200),
    _gpu("H100", 81559, 989, 3350, 300),
    _gpu("H200", 143771, 989, 4800, 300),
)
"""Known GPUs. Link: half of NVLink's one-way rate, or a practical rate of PCIe 4.0 x16; neither was measured here."""


def find_gpu(name: str, memory: int | None = None) -> GpuSpec:
    """Find a known GPU by name.

    Args:
        name: contains the model number as a separate word, such as "A5000" or "NVIDIA A100-SXM4-80GB".
        memory: bytes, to choose between variants of one model number.

    Raises:
        UserError: an unknown or ambiguous name.
    """
    words = _words(name)
    matches = [gpu for gpu in KNOWN if _number(gpu.name) in words]
    if len(matches) > 1 and memory is not None:
        matches = [min(matches, key=lambda gpu: abs(gpu.memory - memory))]
    elif len(matches) > 1:
        matches = [gpu for gpu in matches if _words(gpu.name) <= words] or matches
    if len(matches) == 1:
        return matches[0]
    if matches:
        raise UserError(f"GPU '{name}' is ambiguous: {', '.join(gpu.name for gpu in matches)}", "choose one")
    known = ", ".join(gpu.name for gpu in KNOWN)
    raise UserError(f"unknown GPU '{name}'; known: {known}", "for another GPU give --gpu-memory GIB")


def _words(name: str) -> set[str]:
    return set(re.split(r"[^a-z0-9]+", name.lower()))


def _number(name: str) -> str:
    """Return the model number in a name: a5000 for "RTX A5000", a100 for "A100-80GB"."""
    return next(word for word in re.split(r"[^a-z0-9]+", name.lower()) if re.search(r"\d", word))
