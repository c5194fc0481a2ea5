"""GPUs that the plan knows, by what their makers print."""

import re
from dataclasses import dataclass

from permix_verl.errors import UserError


@dataclass(frozen=True)
class Gpu:
    """One GPU.

    Attributes:
        name: as ``nvidia-smi`` has it, or a part of that.
        memory: bytes that a process can have of it.
        flops: bf16 operations a second with float32 sums, dense, on paper.
        bandwidth: bytes a second from its memory, on paper.
        link: bytes a second that it takes in from its neighbours: NVLink where that is how it is sold, else PCIe.
    """

    name: str
    memory: int
    flops: float
    bandwidth: float
    link: float


def _gpu(name: str, mib: int, tflops: float, gb_s: float, link_gb_s: float) -> Gpu:
    return Gpu(name, mib << 20, tflops * 1e12, gb_s * 1e9, link_gb_s * 1e9)


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
"""Link: half of NVLink's rate in one direction, and what PCIe 4.0 x16 moves in practice; neither was measured here."""


def find_gpu(name: str, memory: int | None = None) -> Gpu:
    """The known GPU of this name, as people or ``nvidia-smi`` write it.

    Args:
        name: holds the model's number as a word of its own, such as "A5000" or "NVIDIA A100-SXM4-80GB".
        memory: bytes, which tell two of one number apart where the name does not.

    Raises:
        UserError: none of that name, or more than one.
    """
    words = _words(name)
    found = [gpu for gpu in KNOWN if _number(gpu.name) in words]
    if len(found) > 1 and memory is not None:
        found = [min(found, key=lambda gpu: abs(gpu.memory - memory))]
    elif len(found) > 1:
        found = [gpu for gpu in found if _words(gpu.name) <= words] or found
    if len(found) == 1:
        return found[0]
    if found:
        raise UserError(f"GPU '{name}' is one of {', '.join(gpu.name for gpu in found)}; say which")
    known = ", ".join(gpu.name for gpu in KNOWN)
    raise UserError(f"unknown GPU '{name}'; known: {known}; of another one give its memory, --gpu-memory GIB")


def _words(name: str) -> set[str]:
    return set(re.split(r"[^a-z0-9]+", name.lower()))


def _number(name: str) -> str:
    """The word that tells models apart: "RTX A5000" a5000, "A100-80GB" a100."""
    return next(word for word in re.split(r"[^a-z0-9]+", name.lower()) if re.search(r"\d", word))
