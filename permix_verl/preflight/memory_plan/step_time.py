"""Tokens and time of a step and of a run: tokens are exact, times are guesses within a factor of two."""

import math
import sys
from dataclasses import dataclass

from permix_verl.preflight.memory_plan.budget import kv_bytes_per_token, sequences_per_engine, vllm_weights
from permix_verl.preflight.memory_plan.gpus import GpuSpec
from permix_verl.preflight.memory_plan.job import Job, RolloutSettings
from permix_verl.preflight.memory_plan.model_size import ModelSize

MFU = 0.5
"""Assumed model FLOPs utilization (MFU)."""

LAYER_S = 0.003
"""Launch overhead of one layer in the update of a micro-batch, seconds, independent of its size."""

TOKEN_UPDATE_S, TOKEN_LOG_PROB_S = 0.15e-3, 0.05e-3
"""Seconds for one token's log-probs in an update and in a forward pass: verl loops over tokens on the host."""

MBU = 0.6
"""Assumed memory bandwidth utilization (MBU) of decoding."""

DECODE_STEP_S = 0.008
"""Scheduling and sampling overhead of one decoding step of vLLM, seconds."""


@dataclass(frozen=True)
class StepTime:
    """Tokens and time of one step.

    Attributes:
        steps: steps of the run.
        tokens: sampled tokens in a step.
        trained_tokens: tokens trained on in a step, prompts included.
        seconds: seconds by part of the step.
    """

    steps: int
    tokens: int
    trained_tokens: int
    seconds: dict[str, float]

    @property
    def step_seconds(self) -> float:
        """Seconds of one step."""
        return sum(self.seconds.values())

    @property
    def run_seconds(self) -> float:
        """Seconds of the run."""
        return self.steps * self.step_seconds


def steps_of(job: Job) -> int:
    """Return the run's optimizer steps, counted as verl does: an incomplete batch is dropped."""
    return min(job.rows * job.epochs // job.batch, job.steps or sys.maxsize)


def estimate_step_time(
    job: Job, model: ModelSize, gpu: GpuSpec, sequences: int | None, completion_tokens: int | None = None
) -> StepTime:
    """Estimate the time of a step.

    Args:
        sequences: sequences that vLLM's cache holds; None in supervised training.
        completion_tokens: mean tokens of a completion (default: the maximum).
    """
    length = job.prompt_tokens + min(completion_tokens or job.answer_tokens, job.answer_tokens)
    rows = job.rows_per_rank
    tokens = rows * length
    forward = 2 * (model.weights + model.adapter_weights) * tokens / (MFU * gpu.flops)
    # The base is frozen: only activation gradients are computed, not its weight gradients.
    passes = 3 if job.checkpointing else 2
    micro = math.ceil(rows / min(job.micro_batch, rows))
    gathered = 0 if job.nf4 else model.weights * job.compute_bytes * (job.ranks - 1) / job.ranks
    weights = gathered / gpu.link
    seconds = {
        "update": max(passes * forward + micro * model.layers * LAYER_S + tokens * TOKEN_UPDATE_S, 2 * micro * weights)
    }
    if job.rollout is not None:
        micro = math.ceil(rows / min(job.log_prob_micro_batch, rows))
        one = max(forward + micro * model.layers * LAYER_S / 3 + tokens * TOKEN_LOG_PROB_S, micro * weights)
        seconds["log-probs"] = one * (2 if job.reference else 1)
        seconds["generation"] = _generation(job, model, gpu, job.rollout, sequences or 1, length - job.prompt_tokens)
    sampled = 0 if job.rollout is None else job.batch * job.samples * (length - job.prompt_tokens)
    return StepTime(steps_of(job), sampled, job.batch * job.samples * length, seconds)


def _generation(
    job: Job, model: ModelSize, gpu: GpuSpec, rollout: RolloutSettings, sequences: int, response_tokens: int
) -> float:
    requests = sequences_per_engine(job, rollout)
    concurrent = max(1, min(sequences, requests))
    weights = vllm_weights(model, rollout)
    cache = concurrent * (job.prompt_tokens + response_tokens / 2) * kv_bytes_per_token(model, rollout)
    computed = 2 * model.weights * concurrent / rollout.tensor_parallel / (MFU * gpu.flops)
    step = max((weights + cache) / (MBU * gpu.bandwidth), computed) + DECODE_STEP_S
    prompts = (
        requests / job.samples * job.prompt_tokens * 2 * model.weights / rollout.tensor_parallel / (MFU * gpu.flops)
    )
    return math.ceil(requests / concurrent) * response_tokens * step + prompts
