"""GPUs, their memory and their driver, asked of ``nvidia-smi``."""

import functools
import os
import re
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass

from permix_verl.preflight.doctor.types import Finding, Setup, error, ok, warning

BUSY_MB = 1024
LAYERED_BELOW_MB = 48 << 10
_TIMEOUT_S = 5


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU: name, memory in MiB, and how much of it others hold."""

    name: str
    total_mb: int
    used_mb: int


def ask(*arguments: str) -> str:
    """What nvidia-smi prints, or nothing."""
    if shutil.which("nvidia-smi") is None:
        return ""
    try:
        done = subprocess.run(["nvidia-smi", *arguments], capture_output=True, text=True, timeout=_TIMEOUT_S)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""


@functools.cache
def gpus() -> tuple[Gpu, ...]:
    """Those that this process may use."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible == "":
        return ()
    chosen = [f"--id={visible}"] if visible else []
    text = ask("--query-gpu=name,memory.total,memory.used", "--format=csv,noheader,nounits", *chosen)
    rows = [[part.strip() for part in line.rsplit(",", 2)] for line in text.splitlines() if line.count(",") >= 2]
    return tuple(Gpu(name, int(total), int(used)) for name, total, used in rows if total.isdigit() and used.isdigit())


@functools.cache
def driver_cuda() -> str | None:
    """The newest CUDA that the driver runs."""
    found = re.search(r"CUDA Version:\s*([\d.]+)", ask())
    return found[1] if found else None


def gpu_count(setup: Setup) -> Iterable[Finding]:
    """As many as the run wants on this machine, and a rollout engine's share divides them."""
    there = gpus()
    if setup.device == "cpu":
        return [ok(f"not needed: trainer.device=cpu ({len(there)} here)")]
    if setup.device != "cuda":
        return [ok(f"{len(there)}: {', '.join(gpu.name for gpu in there)}" if there else "none: the cpu profile")]
    found = []
    wanted = setup.number("trainer.n_gpus_per_node", 1)
    if not os.environ.get("RAY_ADDRESS") and len(there) < wanted:
        found.append(
            error(f"{len(there)} GPUs, and the run wants {wanted}", f"GPUS={max(1, len(there))}, or PROFILE=cpu")
        )
    parallel = setup.number("actor_rollout_ref.rollout.tensor_model_parallel_size", 1)
    world = wanted * setup.number("trainer.nnodes", 1)
    if world % parallel:
        found.append(
            error(
                f"tensor_model_parallel_size={parallel} does not divide {world} GPUs",
                "set TENSOR_PARALLEL to a divisor of them",
            )
        )
    return found or [ok(f"{len(there)}: {', '.join(sorted({gpu.name for gpu in there}))}")]


def gpu_memory(setup: Setup) -> Iterable[Finding]:
    """Nobody else holds it; and below 48 GB a LoRA adapter is synced layer by layer."""
    there = gpus()
    if setup.device != "cuda" or not there:
        return []
    found = []
    busy = [f"GPU {number} {gpu.used_mb} MiB" for number, gpu in enumerate(there) if gpu.used_mb > BUSY_MB]
    if busy:
        found.append(
            error(
                f"memory is in use: {', '.join(busy)}", "end what holds it (nvidia-smi), or choose CUDA_VISIBLE_DEVICES"
            )
        )
    least = min(gpu.total_mb for gpu in there)
    lora = setup.settings.get("actor_rollout_ref.model.lora_rank", "0") != "0"
    layered = setup.settings.get("actor_rollout_ref.rollout.layered_summon", "False").lower() == "true"
    # Under FSDP2 verl gathers one tensor at a time either way.
    whole = setup.settings.get("actor_rollout_ref.actor.strategy", "fsdp") == "fsdp"
    if setup.trainer == "grpo" and lora and whole and least < LAYERED_BELOW_MB and not layered:
        found.append(
            warning(
                f"{least >> 10} GiB a GPU, and all layers' weights are gathered at once when the adapter is synced",
                "actor_rollout_ref.rollout.layered_summon=True",
            )
        )
    return found or [ok(f"{least >> 10} GiB at least, free")]
