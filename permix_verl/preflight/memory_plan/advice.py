"""Advice for a plan that does not fit: which settings to change."""

import math
from collections import Counter
from collections.abc import Iterator

from permix_verl.preflight.memory_plan.budget import (
    ALLOCATOR_SLACK,
    CUDA_CONTEXT,
    GIB,
    VLLM_OVERHEAD,
    Cache,
    MemoryBudget,
    idle_memory,
    vllm_weights,
)
from permix_verl.preflight.memory_plan.job import Job
from permix_verl.preflight.memory_plan.model_size import ModelSize
from permix_verl.preflight.memory_plan.peaks import ACTIVATIONS, LOGITS, PeakMemory

ROLLOUT = "actor_rollout_ref.rollout"
ACTOR = "actor_rollout_ref.actor"


def advice(job: Job, model: ModelSize, peaks: PeakMemory, plan: MemoryBudget, memory: int) -> Iterator[str]:
    """Yield advice for each phase that does not fit and for a small cache, naming verl's keys or the recipes' knobs."""
    for phase in plan.phases:
        over = phase.total - memory
        if over <= 0:
            continue
        prefix = f"{phase.name} is {over / GIB:.1f} GiB over: "
        if phase.name == "generation":
            yield prefix + _smaller_generation(job, model, peaks, memory)
        elif phase.name == "weight sync":
            yield prefix + " or ".join(_smaller_sync(job))
        else:
            yield prefix + _fewer_rows(
                job, phase.name, peaks.update if phase.name == "update" else peaks.log_probs, over
            )
    if plan.cache is not None:
        yield from _cache_advice(job, plan.cache)


def _fewer_rows(job: Job, phase: str, kinds: Counter[str], over: int) -> str:
    sft = job.rollout is None
    key = "data.micro_batch_size_per_gpu" if sft else f"{ACTOR}.ppo_micro_batch_size_per_gpu"
    rows = job.micro_batch
    if phase == "log-probs":
        key, rows = f"{ROLLOUT}.log_prob_micro_batch_size_per_gpu", job.log_prob_micro_batch
    rows = min(rows, job.rows_per_rank)
    # Without a GPU the budget covers all ranks of the machine.
    a_row = (kinds[LOGITS] + kinds[ACTIVATIONS]) / rows
    a_row *= job.ranks_per_node if job.device == "cpu" else 1 + ALLOCATOR_SLACK
    fit = rows - math.ceil(over / a_row) if a_row else 0
    if fit >= 1:
        return f"{key}={max(n for n in range(1, fit + 1) if job.rows_per_rank % n == 0)}"
    return f"{key}=1 is not enough; " + " or ".join(_other_remedies(job, phase))


def _other_remedies(job: Job, phase: str) -> list[str]:
    model = "model" if job.rollout is None else "actor_rollout_ref.model"
    remedies = ["shorter rows (MAX_LENGTH)" if job.rollout is None else "a shorter RESPONSE_LENGTH"]
    if phase == "update" and not job.checkpointing:
        remedies.insert(0, f"{model}.enable_gradient_checkpointing=True")
    if job.device == "cpu":
        return [*remedies, "fewer RANKS"] if job.ranks > 1 else remedies
    if not job.nf4:  # NF4 replicates the base on every GPU
        remedies.append("more GPUs")
        remedies += ["QLORA=1"] if job.ranks < 8 else []
    return remedies


def _smaller_generation(job: Job, model: ModelSize, peaks: PeakMemory, memory: int) -> str:
    assert job.rollout is not None
    remedies = []
    engine = f"{ACTOR}.fsdp_config"
    if not job.param_offload:
        remedies.append(f"{engine}.param_offload=True")
    if not job.optimizer_offload:
        remedies.append(f"{engine}.optimizer_offload=True")
    least = (vllm_weights(model, job.rollout) + VLLM_OVERHEAD) / memory
    most = math.floor(100 * (memory - CUDA_CONTEXT - idle_memory(job, peaks)) / memory) / 100
    if most > least:
        remedies.append(f"{ROLLOUT}.gpu_memory_utilization={most:.2f}")
    return " or ".join(remedies or ["more GPUs, and a higher TENSOR_PARALLEL"])


def _smaller_sync(job: Job) -> list[str]:
    assert job.rollout is not None
    remedies = ["a higher TENSOR_PARALLEL"] if job.rollout.tensor_parallel < job.ranks else []
    return [*remedies, "QLORA=1" if not job.nf4 and job.ranks < 8 else "more GPUs with a higher TENSOR_PARALLEL"]


def _cache_advice(job: Job, cache: Cache) -> Iterator[str]:
    assert job.rollout is not None
    more = [f"a higher {ROLLOUT}.gpu_memory_utilization"]
    if job.rollout.tensor_parallel < job.ranks:
        more.append("a higher TENSOR_PARALLEL")
    if cache.sequences < 1:
        yield f"vLLM's memory has no room for a single sequence beside its weights: {' or '.join(more)}"
    elif cache.sequences < cache.wanted:
        waves = math.ceil(cache.wanted / cache.sequences)
        yield (
            f"vLLM's cache holds {cache.sequences} of an engine's {cache.wanted} sequences at full length, so a step "
            f"takes up to {waves} waves: {' or '.join(more)}, if that is too slow"
        )
