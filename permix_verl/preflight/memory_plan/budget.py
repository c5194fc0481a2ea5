"""Memory budget of one device, line by line, in each phase of a step."""

import math
from dataclasses import dataclass
from typing import Any

from permix_verl.preflight.memory_plan.job import Job, RolloutSettings
from permix_verl.preflight.memory_plan.model_size import ModelSize
from permix_verl.preflight.memory_plan.peaks import OPTIMIZER, PeakMemory

MIB, GIB = 2**20, 2**30

CUDA_CONTEXT = 1326 * MIB
"""Bytes of a process outside PyTorch's allocator (CUDA context, libraries, NCCL buffers), measured on an H200."""

ALLOCATOR_SLACK = 0.06
"""Fraction that PyTorch's allocator reserves beyond live memory."""

VLLM_ASLEEP = 1536 * MIB
"""Bytes of a sleeping vLLM: context, CUDA graphs, communication buffers. Assumed."""

CPU_PROCESSES = 8 * GIB
"""Bytes of a run's processes beside tensors, without a GPU: proportional set size measured in the lab."""

VLLM_OVERHEAD = 1024 * MIB
"""Bytes of an awake vLLM beside weights and cache: context, CUDA graphs, fixed-size activations. Assumed."""


@dataclass(frozen=True)
class Item:
    """One line of the budget: name and bytes."""

    name: str
    size: int


@dataclass(frozen=True)
class Phase:
    """One phase of a step and the memory it needs on the device; the lines add up."""

    name: str
    lines: tuple[Item, ...]

    @property
    def total(self) -> int:
        """Bytes of all lines."""
        return sum(line.size for line in self.lines)


@dataclass(frozen=True)
class Cache:
    """Capacity of vLLM's KV cache.

    Attributes:
        tokens: tokens it can hold; negative if there is no room for it.
        sequences: full-length sequences it can hold.
        wanted: sequences that one engine generates in a step.
    """

    tokens: int
    sequences: int
    wanted: int


@dataclass(frozen=True)
class MemoryBudget:
    """Memory of one device by phase, the KV cache, and host memory of one node."""

    phases: tuple[Phase, ...]
    cache: Cache | None
    host: tuple[Item, ...]


def budget(job: Job, model: ModelSize, peaks: PeakMemory, memory: int) -> MemoryBudget:
    """Compute the memory budget of a device with ``memory`` bytes."""
    phases = [Phase("update", _actor(job, model, peaks.update, memory))]
    if job.rollout is None:
        return MemoryBudget(tuple(phases), None, _host(job, model, peaks))
    phases.append(Phase("log-probs", _actor(job, model, peaks.log_probs, memory)))
    if job.device == "cpu":
        return MemoryBudget(tuple(phases), None, ())
    cache = kv_cache(job, model, job.rollout, memory)
    phases += [
        Phase("generation", _generation(job, peaks, model, job.rollout, cache, memory)),
        Phase("weight sync", _sync(job, peaks, model, job.rollout)),
    ]
    return MemoryBudget(tuple(phases), cache, _host(job, model, peaks))


def _actor(job: Job, model: ModelSize, kinds: Any, memory: int) -> tuple[Item, ...]:
    lines = [Item(name, size) for name, size in kinds.most_common() if size >= MIB // 10]
    rollout = job.rollout
    if job.device == "cpu":
        here = job.ranks_per_node  # all ranks share the machine, and vLLM does not sleep
        lines = [Item(line.name, line.size * here) for line in lines]
        if rollout is not None:
            lines.append(Item("vLLM: weights and cache", (vllm_weights(model, rollout) + rollout.cpu_cache) * here))
        return (*lines, *_initial_adapter(job, model), Item("processes of verl, Ray and vLLM", CPU_PROCESSES))
    lines += [
        Item("allocator's reserve", round(ALLOCATOR_SLACK * kinds.total())),
        Item("CUDA context", CUDA_CONTEXT),
    ]
    if rollout is not None:
        share = int(rollout.utilization * memory)
        lines.append(Item("vLLM asleep", VLLM_ASLEEP) if rollout.sleeps else Item("vLLM, awake", share))
    return tuple(lines)


def idle_memory(job: Job, peaks: PeakMemory) -> int:
    """Return the bytes that the actor keeps on the device in the other phases."""
    return (0 if job.param_offload else _weights(peaks)) + (0 if job.optimizer_offload else peaks.idle[OPTIMIZER])


def vllm_weights(model: ModelSize, rollout: RolloutSettings) -> int:
    """Return the bytes of weights on one tensor-parallel rank of the rollout engine."""
    return model.weights * rollout.weight_bytes // rollout.tensor_parallel


def kv_bytes_per_token(model: ModelSize, rollout: RolloutSettings) -> float:
    """Return the bytes of one token's keys and values on one GPU of an engine."""
    return model.kv_values_per_token * rollout.weight_bytes / min(rollout.tensor_parallel, model.kv_heads)


def sequences_per_engine(job: Job, rollout: RolloutSettings) -> int:
    """Return the number of sequences that one engine generates in a step."""
    return math.ceil(job.batch * job.samples / max(1, job.ranks // rollout.tensor_parallel))


def kv_cache(job: Job, model: ModelSize, rollout: RolloutSettings, memory: int) -> Cache:
    """Compute the KV cache that fits in vLLM's memory."""
    activations = rollout.batched_tokens * model.widest * rollout.weight_bytes * 2 // rollout.tensor_parallel
    room = int(rollout.utilization * memory) - vllm_weights(model, rollout) - activations - VLLM_OVERHEAD
    tokens = int(room / kv_bytes_per_token(model, rollout))
    return Cache(tokens, max(0, tokens // job.length), sequences_per_engine(job, rollout))


def _generation(
    job: Job, peaks: PeakMemory, model: ModelSize, rollout: RolloutSettings, cache: Cache, memory: int
) -> tuple[Item, ...]:
    share = int(rollout.utilization * memory)
    weights = vllm_weights(model, rollout)
    kept = max(0, int(cache.tokens * kv_bytes_per_token(model, rollout)))
    return (
        Item("vLLM: weights", weights),
        Item("vLLM: cache", kept),
        Item("vLLM: the rest of its share", max(share - weights - kept, 0)),
        Item("actor, resting", idle_memory(job, peaks)),
        Item("CUDA context", CUDA_CONTEXT),
    )


def _sync(job: Job, peaks: PeakMemory, model: ModelSize, rollout: RolloutSettings) -> tuple[Item, ...]:
    # Upper bound: verl gathers the adapter tensor by tensor and sends it from the host.
    in_transit = model.adapter_weights * job.weight_bytes
    return (
        Item("actor's weights", _weights(peaks)),
        Item("optimizer state", 0 if job.optimizer_offload else peaks.idle[OPTIMIZER]),
        Item("vLLM: weights", vllm_weights(model, rollout)),
        Item("adapter, on its way", in_transit),
        Item("buffer", rollout.bucket_mb * MIB),
        Item("CUDA contexts", CUDA_CONTEXT + VLLM_ASLEEP),
    )


def _host(job: Job, model: ModelSize, peaks: PeakMemory) -> tuple[Item, ...]:
    lines = [Item("loading: the whole model on one rank", (model.weights + model.adapter_weights) * job.weight_bytes)]
    if job.param_offload:
        lines.append(Item("actor's weights while others have their turn", _weights(peaks) * job.ranks_per_node))
    if job.rollout is not None and job.rollout.sleeps and job.device != "cpu":
        lines.append(Item("vLLM's weights while it sleeps", vllm_weights(model, job.rollout) * job.ranks_per_node))
    return (*lines, *_initial_adapter(job, model))


def _initial_adapter(job: Job, model: ModelSize) -> list[Item]:
    """Return a node's host memory for the initial adapter and, while the reference runs, the trained one."""
    if not job.adapter_reference:
        return []
    return [Item("adapter, for the KL reference", 2 * model.adapter_weights * 4 * job.ranks_per_node // job.ranks)]


def _weights(peaks: PeakMemory) -> int:
    return sum(size for kind, size in peaks.idle.items() if kind != OPTIMIZER)


def fits(plan: MemoryBudget, memory: int) -> bool:
    """Return whether every phase fits and the cache holds at least one sequence."""
    return all(phase.total <= memory for phase in plan.phases) and (plan.cache is None or plan.cache.sequences > 0)
