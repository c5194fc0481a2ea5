"""Memory of one device, line by line, in each turn of a step; and what to turn where a turn does not fit."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from permix_verl.plan.job import Job, Rollout
from permix_verl.plan.model import Model
from permix_verl.plan.peaks import ACTIVATIONS, LOGITS, OPTIMIZER, Peaks

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
        return Budget(tuple(turns), None, _host(job, model))
    turns.append(Turn("log-probs", _actor(job, model, peaks.log_probs, memory)))
    if job.device == "cpu":
        return Budget(tuple(turns), None, ())
    turns += [
        Turn("generation", _generation(job, peaks, model, job.rollout, memory)),
        Turn("weight sync", _sync(job, peaks, model, job.rollout)),
    ]
    return Budget(tuple(turns), cache_of(job, model, job.rollout, memory), _host(job, model))


def _actor(job: Job, model: Model, kinds: Any, memory: int) -> tuple[Line, ...]:
    lines = [Line(name, size) for name, size in kinds.most_common() if size >= MIB // 10]
    rollout = job.rollout
    if job.device == "cpu":
        here = job.ranks_per_node  # on one machine, and vLLM does not sleep there
        lines = [Line(line.name, line.size * here) for line in lines]
        if rollout is not None:
            lines.append(Line("vLLM: weights and cache", (vllm_weights(model, rollout) + rollout.cpu_cache) * here))
        return (*lines, Line("processes of verl, Ray and vLLM", PROCESSES))
    lines += [Line("allocator's reserve", round(SLACK * kinds.total())), Line("CUDA context", CONTEXT)]
    if rollout is not None:
        share = int(rollout.utilization * memory)
        lines.append(Line("vLLM asleep", ASLEEP) if rollout.sleeps else Line("vLLM, awake", share))
    return tuple(lines)


def resting(job: Job, peaks: Peaks) -> int:
    """What the actor keeps on the device while others have their turn."""
    kinds = dict(peaks.resting)
    optimizer = kinds.pop(OPTIMIZER, 0)
    weights = sum(kinds.values())
    return (0 if job.param_offload else weights) + (0 if job.optimizer_offload else optimizer)


def vllm_weights(model: Model, rollout: Rollout) -> int:
    """Weights of one tensor-parallel part of the rollout engine."""
    return model.weights * rollout.weight_bytes // rollout.tensor_parallel


def cache_of(job: Job, model: Model, rollout: Rollout, memory: int) -> Cache:
    """What is left of vLLM's share for keys and values."""
    activations = rollout.batched_tokens * model.widest * rollout.weight_bytes * 2 // rollout.tensor_parallel
    room = int(rollout.utilization * memory) - vllm_weights(model, rollout) - activations - VLLM_OVERHEAD
    a_token = model.cached_values * rollout.weight_bytes / min(rollout.tensor_parallel, model.kv_heads)
    engines = max(1, job.ranks // rollout.tensor_parallel)
    tokens = int(room / a_token)
    return Cache(tokens, max(0, tokens // job.length), math.ceil(job.batch * job.samples / engines))


def _generation(job: Job, peaks: Peaks, model: Model, rollout: Rollout, memory: int) -> tuple[Line, ...]:
    share = int(rollout.utilization * memory)
    weights = vllm_weights(model, rollout)
    cache = cache_of(job, model, rollout, memory)
    a_token = model.cached_values * rollout.weight_bytes / min(rollout.tensor_parallel, model.kv_heads)
    kept = max(0, int(cache.tokens * a_token))
    return (
        Line("vLLM: weights", weights),
        Line("vLLM: cache", kept),
        Line("vLLM: the rest of its share", max(share - weights - kept, 0)),
        Line("actor, resting", resting(job, peaks)),
        Line("CUDA context", CONTEXT),
    )


def _sync(job: Job, peaks: Peaks, model: Model, rollout: Rollout) -> tuple[Line, ...]:
    # All of it at once: with PEFT 0.21 verl's layered_summon finds nothing and falls back to this.
    gathered = model.adapter_weights * job.weight_bytes
    return (
        Line("actor's weights", sum(size for kind, size in peaks.resting.items() if kind != OPTIMIZER)),
        Line("vLLM: weights", vllm_weights(model, rollout)),
        Line("adapter, gathered", gathered),
        Line("buffer", rollout.bucket_mb * MIB),
        Line("CUDA contexts", CONTEXT + ASLEEP),
    )


def _host(job: Job, model: Model) -> tuple[Line, ...]:
    whole = (model.weights + model.adapter_weights) * job.weight_bytes
    here = min(1.0, job.ranks_per_node / job.ranks)
    lines = [Line("loading: the whole model on one rank", whole)]
    if job.param_offload:
        lines.append(Line("actor's weights while others have their turn", round(whole * here)))
    if job.rollout is not None and job.rollout.sleeps and job.device != "cpu":
        lines.append(Line("vLLM's weights while it sleeps", vllm_weights(model, job.rollout) * job.ranks_per_node))
    return tuple(lines)


def advice(job: Job, model: Model, peaks: Peaks, plan: Budget, memory: int) -> Iterator[str]:
    """What to turn, for each turn that does not fit; and where the cache is small."""
    for turn in plan.turns:
        over = turn.total - memory
        if over <= 0:
            continue
        said = f"{turn.name} is {over / GIB:.1f} GiB over: "
        if turn.name == "generation":
            yield said + _less_for_vllm(job, peaks, memory)
        elif turn.name == "weight sync":
            yield said + "raise TENSOR_PARALLEL, or take more GPUs"
        else:
            kinds, rows = (
                (peaks.update, job.micro_batch)
                if turn.name == "update"
                else (peaks.log_probs, job.log_prob_micro_batch)
            )
            yield said + _fewer_rows(turn.name, kinds, min(rows, job.rows_per_rank), over, job)
    if plan.cache is not None:
        yield from _about_the_cache(plan.cache)


def _fewer_rows(name: str, kinds: Any, rows: int, over: int, job: Job) -> str:
    a_row = (kinds[LOGITS] + kinds[ACTIVATIONS]) * (1 + SLACK) / rows
    fit = rows - math.ceil(over / a_row)
    key = "ppo_micro_batch_size_per_gpu" if name == "update" else "log_prob_micro_batch_size_per_gpu"
    if fit >= 1:
        return f"{key}={_divisor(job.rows_per_rank, fit)}"
    further = ["more GPUs (GPUS, NNODES)", "QLORA=1", "a shorter RESPONSE_LENGTH"]
    if job.nf4:
        further = further[2:]  # the base is whole on every GPU already, however many they are
    if not job.checkpointing and name == "update":
        further.insert(0, "enable_gradient_checkpointing=True")
    return f"{key}=1 is not enough; " + ", ".join(further)


def _divisor(whole: int, most: int) -> int:
    return max(n for n in range(1, most + 1) if whole % n == 0)


def _less_for_vllm(job: Job, peaks: Peaks, memory: int) -> str:
    most = math.floor(100 * (memory - CONTEXT - resting(job, peaks)) / memory) / 100
    if not job.param_offload:
        return f"param_offload=True and optimizer_offload=True, or gpu_memory_utilization={most:.2f}"
    return f"gpu_memory_utilization={most:.2f}"


def _about_the_cache(cache: Cache) -> Iterator[str]:
    if cache.sequences < 1:
        yield (
            "vLLM's share has no room for a single sequence beside its weights: raise gpu_memory_utilization or "
            "TENSOR_PARALLEL"
        )
    elif cache.sequences < cache.wanted:
        waves = math.ceil(cache.wanted / cache.sequences)
        yield (
            f"vLLM's cache holds {cache.sequences} of an engine's {cache.wanted} sequences at full length: up to "
            f"{waves} waves a step; a higher gpu_memory_utilization or TENSOR_PARALLEL makes them fewer"
        )


def fits(plan: Budget, memory: int) -> bool:
    """Whether every turn does, and the cache holds a sequence."""
    return all(turn.total <= memory for turn in plan.turns) and (plan.cache is None or plan.cache.sequences > 0)
