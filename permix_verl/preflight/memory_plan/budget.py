"""Memory of one device, line by line, in each turn of a step."""

import math
from dataclasses import dataclass
from typing import Any

from permix_verl.preflight.memory_plan.job import Job, Rollout
from permix_verl.preflight.memory_plan.model_size import Model
from permix_verl.preflight.memory_plan.peaks import OPTIMIZER, Peaks

MIB, GIB = 2**20, 2**30

CONTEXT = 1326 * MIB
"""CUDA context, libraries and NCCL's buffers of a process, outside PyTorch's allocator: measured on an H200."""

SLACK = 0.06
"""What PyTorch's allocator reserves beyond what is live, as a share of it."""

ASLEEP = 1536 * MIB
"""vLLM asleep: context, CUDA graphs and communication buffers. Assumed."""

PROCESSES = 8 * GIB
"""Without a GPU: what a run's processes hold beside tensors, measured on the lab's (proportional set size)."""

VLLM_OVERHEAD = 1024 * MIB
"""vLLM awake, beside weights and cache: context, CUDA graphs, activations that are not in proportion. Assumed."""


@dataclass(frozen=True)
class Line:
    """A line of the budget: what it is, and bytes."""

    name: str
    size: int


@dataclass(frozen=True)
class Turn:
    """Who has the device, with what: ``name`` for people, ``lines`` add up."""

    name: str
    lines: tuple[Line, ...]

    @property
    def total(self) -> int:
        return sum(line.size for line in self.lines)


@dataclass(frozen=True)
class Cache:
    """vLLM's cache.

    Attributes:
        tokens: that it holds, negative if there is no room for it.
        sequences: of full length that it holds at once.
        wanted: sequences that one engine is given in a step.
    """

    tokens: int
    sequences: int
    wanted: int


@dataclass(frozen=True)
class Budget:
    """Turns of one device, the cache, and bytes on the host of one node."""

    turns: tuple[Turn, ...]
    cache: Cache | None
    host: tuple[Line, ...]


def budget(job: Job, model: Model, peaks: Peaks, memory: int) -> Budget:
    """What a device of ``memory`` bytes holds in each turn."""
    turns = [Turn("update", _actor(job, model, peaks.update, memory))]
    if job.rollout is None:
        return Budget(tuple(turns), None, _host(job, model, peaks))
    turns.append(Turn("log-probs", _actor(job, model, peaks.log_probs, memory)))
    if job.device == "cpu":
        return Budget(tuple(turns), None, ())
    cache = cache_of(job, model, job.rollout, memory)
    turns += [
        Turn("generation", _generation(job, peaks, model, job.rollout, cache, memory)),
        Turn("weight sync", _sync(job, peaks, model, job.rollout)),
    ]
    return Budget(tuple(turns), cache, _host(job, model, peaks))


def _actor(job: Job, model: Model, kinds: Any, memory: int) -> tuple[Line, ...]:
    lines = [Line(name, size) for name, size in kinds.most_common() if size >= MIB // 10]
    rollout = job.rollout
    if job.device == "cpu":
        here = job.ranks_per_node  # on one machine, and vLLM does not sleep there
        lines = [Line(line.name, line.size * here) for line in lines]
        if rollout is not None:
            lines.append(Line("vLLM: weights and cache", (vllm_weights(model, rollout) + rollout.cpu_cache) * here))
        return (*lines, *_kept_start(job, model), Line("processes of verl, Ray and vLLM", PROCESSES))
    lines += [Line("allocator's reserve", round(SLACK * kinds.total())), Line("CUDA context", CONTEXT)]
    if rollout is not None:
        share = int(rollout.utilization * memory)
        lines.append(Line("vLLM asleep", ASLEEP) if rollout.sleeps else Line("vLLM, awake", share))
    return tuple(lines)


def resting(job: Job, peaks: Peaks) -> int:
    """What the actor keeps on the device while others have their turn."""
    return (0 if job.param_offload else _weights(peaks)) + (0 if job.optimizer_offload else peaks.resting[OPTIMIZER])


def vllm_weights(model: Model, rollout: Rollout) -> int:
    """Weights of one tensor-parallel part of the rollout engine."""
    return model.weights * rollout.weight_bytes // rollout.tensor_parallel


def cached_bytes(model: Model, rollout: Rollout) -> float:
    """Of a token's keys and values, on one GPU of an engine."""
    return model.cached_values * rollout.weight_bytes / min(rollout.tensor_parallel, model.kv_heads)


def sequences_of_an_engine(job: Job, rollout: Rollout) -> int:
    """That one engine is given in a step."""
    return math.ceil(job.batch * job.samples / max(1, job.ranks // rollout.tensor_parallel))


def cache_of(job: Job, model: Model, rollout: Rollout, memory: int) -> Cache:
    """What is left of vLLM's share for keys and values."""
    activations = rollout.batched_tokens * model.widest * rollout.weight_bytes * 2 // rollout.tensor_parallel
    room = int(rollout.utilization * memory) - vllm_weights(model, rollout) - activations - VLLM_OVERHEAD
    tokens = int(room / cached_bytes(model, rollout))
    return Cache(tokens, max(0, tokens // job.length), sequences_of_an_engine(job, rollout))


def _generation(job: Job, peaks: Peaks, model: Model, rollout: Rollout, cache: Cache, memory: int) -> tuple[Line, ...]:
    share = int(rollout.utilization * memory)
    weights = vllm_weights(model, rollout)
    kept = max(0, int(cache.tokens * cached_bytes(model, rollout)))
    return (
        Line("vLLM: weights", weights),
        Line("vLLM: cache", kept),
        Line("vLLM: the rest of its share", max(share - weights - kept, 0)),
        Line("actor, resting", resting(job, peaks)),
        Line("CUDA context", CONTEXT),
    )


def _sync(job: Job, peaks: Peaks, model: Model, rollout: Rollout) -> tuple[Line, ...]:
    # verl gathers it tensor by tensor and sends it from the host; all of it is more than is ever on the GPU.
    on_its_way = model.adapter_weights * job.weight_bytes
    return (
        Line("actor's weights", _weights(peaks)),
        Line("optimizer state", 0 if job.optimizer_offload else peaks.resting[OPTIMIZER]),
        Line("vLLM: weights", vllm_weights(model, rollout)),
        Line("adapter, on its way", on_its_way),
        Line("buffer", rollout.bucket_mb * MIB),
        Line("CUDA contexts", CONTEXT + ASLEEP),
    )


def _host(job: Job, model: Model, peaks: Peaks) -> tuple[Line, ...]:
    lines = [Line("loading: the whole model on one rank", (model.weights + model.adapter_weights) * job.weight_bytes)]
    if job.param_offload:
        lines.append(Line("actor's weights while others have their turn", _weights(peaks) * job.ranks_per_node))
    if job.rollout is not None and job.rollout.sleeps and job.device != "cpu":
        lines.append(Line("vLLM's weights while it sleeps", vllm_weights(model, job.rollout) * job.ranks_per_node))
    return (*lines, *_kept_start(job, model))


def _kept_start(job: Job, model: Model) -> list[Line]:
    """On the host of a node: the adapter as it started, and as it is while that stands in its place."""
    if not job.kept_start:
        return []
    return [Line("adapter, for the KL reference", 2 * model.adapter_weights * 4 * job.ranks_per_node // job.ranks)]


def _weights(peaks: Peaks) -> int:
    return sum(size for kind, size in peaks.resting.items() if kind != OPTIMIZER)


def fits(plan: Budget, memory: int) -> bool:
    """Whether every turn does, and the cache holds a sequence."""
    return all(turn.total <= memory for turn in plan.turns) and (plan.cache is None or plan.cache.sequences > 0)
