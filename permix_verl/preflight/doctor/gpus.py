"""Checks of GPUs, their memory and their driver, through ``nvidia-smi``."""

import functools
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass

from permix_verl.preflight.doctor.types import Finding, Setup, error, ok, warning
from permix_verl.utils.nvidia_smi import nvidia_smi, query_gpus

BUSY_MB = 1024
LAYERED_BELOW_MB = 48 << 10


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU: name, total memory and memory in use, in MiB."""

    name: str
    total_mb: int
    used_mb: int


@functools.cache
def visible_gpus() -> tuple[Gpu, ...]:
    """Return the GPUs that this process may use."""
    rows = query_gpus("name", "memory.total", "memory.used")
    return tuple(Gpu(name, int(total), int(used)) for name, total, used in rows if total.isdigit() and used.isdigit())


@functools.cache
def driver_cuda() -> str | None:
    """Return the newest CUDA version that the driver supports."""
    match = re.search(r"CUDA Version:\s*([\d.]+)", nvidia_smi())
    return match[1] if match else None


def gpu_count(setup: Setup) -> Iterable[Finding]:
    """Check the number of GPUs, and that the rollout engine's tensor parallelism divides it."""
    available = visible_gpus()
    if setup.device == "cpu":
        return [ok(f"not needed: trainer.device=cpu ({len(available)} here)")]
    if setup.device != "cuda":
        names = ", ".join(gpu.name for gpu in available)
        return [ok(f"{len(available)}: {names}" if available else "none: the cpu profile")]
    findings = []
    wanted = setup.number("trainer.n_gpus_per_node", 1)
    if not os.environ.get("RAY_ADDRESS") and len(available) < wanted:
        findings.append(
            error(
                f"{len(available)} GPUs, but the run needs {wanted}",
                f"set GPUS={max(1, len(available))}, or PROFILE=cpu",
            )
        )
    parallel = setup.number("actor_rollout_ref.rollout.tensor_model_parallel_size", 1)
    world = wanted * setup.number("trainer.nnodes", 1)
    if world % parallel:
        findings.append(
            error(
                f"tensor_model_parallel_size={parallel} does not divide {world} GPUs",
                "set TENSOR_PARALLEL to a divisor",
            )
        )
    return findings or [ok(f"{len(available)}: {', '.join(sorted({gpu.name for gpu in available}))}")]


def gpu_memory(setup: Setup) -> Iterable[Finding]:
    """Check that GPU memory is free, and that below 48 GB a LoRA adapter is synced layer by layer."""
    available = visible_gpus()
    if setup.device != "cuda" or not available:
        return []
    findings = []
    busy = [f"GPU {number} {gpu.used_mb} MiB" for number, gpu in enumerate(available) if gpu.used_mb > BUSY_MB]
    if busy:
        findings.append(
            error(
                f"memory is in use: {', '.join(busy)}",
                "end the processes that use it (nvidia-smi), or choose CUDA_VISIBLE_DEVICES",
            )
        )
    smallest = min(gpu.total_mb for gpu in available)
    lora = setup.number("actor_rollout_ref.model.lora_rank", 0) != 0
    layered = bool(setup.settings.get("actor_rollout_ref.rollout.layered_summon"))
    # Under FSDP2 verl gathers one tensor at a time in any case.
    gathers_all = setup.settings.get("actor_rollout_ref.actor.strategy", "fsdp") == "fsdp"
    if setup.trainer == "grpo" and lora and gathers_all and smallest < LAYERED_BELOW_MB and not layered:
        findings.append(
            warning(
                f"GPUs of {smallest >> 10} GiB, and the adapter sync gathers all layers' weights at once",
                "set actor_rollout_ref.rollout.layered_summon=True",
            )
        )
    return findings or [ok(f"at least {smallest >> 10} GiB each, free")]
