"""What to set where a turn of a step does not fit."""

import math
from collections import Counter
from collections.abc import Iterator

from permix_verl.preflight.memory_plan.budget import (
    CONTEXT,
    GIB,
    SLACK,
    VLLM_OVERHEAD,
    Budget,
    Cache,
    resting,
    vllm_weights,
)
from permix_verl.preflight.memory_plan.job import Job
from permix_verl.preflight.memory_plan.model_size import Model
from permix_verl.preflight.memory_plan.peaks import ACTIVATIONS, LOGITS, Peaks

ROLLOUT = "actor_rollout_ref.rollout"
ACTOR = "actor_rollout_ref.actor"


def advice(job: Job, model: Model, peaks: Peaks, plan: Budget, memory: int) -> Iterator[str]:
    """A sentence for each turn that does not fit, with verl's key or the recipes' knob; and for a small cache."""
    for turn in plan.turns:
        over = turn.total - memory
        if over <= 0:
            continue
        said = f"{turn.name} is {over / GIB:.1f} GiB over: "
        if turn.name == "generation":
            yield said + _smaller_generation(job, model, peaks, memory)
        elif turn.name == "weight sync":
            yield said + " or ".join(_smaller_sync(job))
        else:
            yield said + _fewer_rows(job, turn.name, peaks.update if turn.name == "update" else peaks.log_probs, over)
    if plan.cache is not None:
        yield from _about_the_cache(job, plan.cache)


def _fewer_rows(job: Job, turn: str, kinds: Counter[str], over: int) -> str:
    sft = job.rollout is None
    key = "data.micro_batch_size_per_gpu" if sft else f"{ACTOR}.ppo_micro_batch_size_per_gpu"
    rows = job.micro_batch
    if turn == "log-probs":
        key, rows = f"{ROLLOUT}.log_prob_micro_batch_size_per_gpu", job.log_prob_micro_batch
    rows = min(rows, job.rows_per_rank)
    # The budget of a machine without a GPU is that of all its ranks.
    a_row = (kinds[LOGITS] + kinds[ACTIVATIONS]) / rows
    a_row *= job.ranks_per_node if job.device == "cpu" else 1 + SLACK
    fit = rows - math.ceil(over / a_row) if a_row else 0
    if fit >= 1:
        return f"{key}={max(n for n in range(1, fit + 1) if job.rows_per_rank % n == 0)}"
    return f"{key}=1 is not enough; " + " or ".join(_less_of_everything(job, turn))


def _less_of_everything(job: Job, turn: str) -> list[str]:
    model = "model" if job.rollout is None else "actor_rollout_ref.model"
    found = ["shorter rows (MAX_LENGTH)" if job.rollout is None else "a shorter RESPONSE_LENGTH"]
    if turn == "update" and not job.checkpointing:
        found.insert(0, f"{model}.enable_gradient_checkpointing=True")
    if job.device == "cpu":
        return [*found, "fewer RANKS"] if job.ranks > 1 else found
    if not job.nf4:  # of which the base is whole on every GPU, however many there are
        found.append("more GPUs")
        found += ["QLORA=1"] if job.ranks < 8 else []
    return found


def _smaller_generation(job: Job, model: Model, peaks: Peaks, memory: int) -> str:
    assert job.rollout is not None
    found = []
    engine = f"{ACTOR}.fsdp_config"
    if not job.param_offload:
        found.append(f"{engine}.param_offload=True")
    if not job.optimizer_offload:
        found.append(f"{engine}.optimizer_offload=True")
    least = (vllm_weights(model, job.rollout) + VLLM_OVERHEAD) / memory
    most = math.floor(100 * (memory - CONTEXT - resting(job, peaks)) / memory) / 100
    if most > least:
        found.append(f"{ROLLOUT}.gpu_memory_utilization={most:.2f}")
    return " or ".join(found or ["more GPUs, and a higher TENSOR_PARALLEL"])


def _smaller_sync(job: Job) -> list[str]:
    assert job.rollout is not None
    found = ["a higher TENSOR_PARALLEL"] if job.rollout.tensor_parallel < job.ranks else []
    return [*found, "QLORA=1" if not job.nf4 and job.ranks < 8 else "more GPUs with a higher TENSOR_PARALLEL"]


def _about_the_cache(job: Job, cache: Cache) -> Iterator[str]:
    assert job.rollout is not None
    more = [f"a higher {ROLLOUT}.gpu_memory_utilization"]
    if job.rollout.tensor_parallel < job.ranks:
        more.append("a higher TENSOR_PARALLEL")
    if cache.sequences < 1:
        yield f"vLLM's share has no room for a single sequence beside its weights: {' or '.join(more)}"
    elif cache.sequences < cache.wanted:
        waves = math.ceil(cache.wanted / cache.sequences)
        yield (
            f"vLLM's cache holds {cache.sequences} of an engine's {cache.wanted} sequences at full length, which makes "
            f"up to {waves} waves a step: {' or '.join(more)}, if that is too slow"
        )
