"""Tokens and time of a step and of a run; counted, and for the time guessed within a factor of two."""

import math
import sys
from dataclasses import dataclass

from permix_verl.preflight.memory_plan.budget import cached_bytes, sequences_of_an_engine, vllm_weights
from permix_verl.preflight.memory_plan.gpus import Gpu
from permix_verl.preflight.memory_plan.job import Job, Rollout
from permix_verl.preflight.memory_plan.model_size import Model

USE = 0.5
"""Share of a GPU's rate on paper that the matrix products reach."""

LAYER_S = 0.003
"""A layer of an update of one micro-batch, whatever its size: launching PEFT's and Hugging Face's small operations."""

TOKEN_UPDATE_S, TOKEN_LOG_PROB_S = 0.15e-3, 0.05e-3
"""verl's log-probs take one token after another (``head.py``), at the pace of the host."""

DECODE_USE = 0.6
"""Share of the memory's bandwidth that decoding reaches."""

DECODE_STEP_S = 0.008
"""A decoding step of vLLM, whatever its size: scheduling and sampling."""


@dataclass(frozen=True)
class Pace:
    """Of one step, unless said otherwise.

    Attributes:
        steps: of the run.
        tokens: that are sampled; ``trained_tokens`` with their prompts.
        seconds: by part.
    """

    steps: int
    tokens: int
    trained_tokens: int
    seconds: dict[str, float]

    @property
    def step_seconds(self) -> float:
        return sum(self.seconds.values())

    @property
    def run_seconds(self) -> float:
        return self.steps * self.step_seconds


def steps_of(job: Job) -> int:
    """Optimizer steps of the run, as verl counts them: what does not fill a batch is left out."""
    return min(job.rows * job.epochs // job.batch, job.steps or sys.maxsize)


def pace(job: Job, model: Model, gpu: Gpu, sequences: int | None, answer_tokens: int | None = None) -> Pace:
    """Guess a step's time.

    Args:
        sequences: that vLLM's cache holds at once; None in supervised training.
        answer_tokens: of a mean answer; as many as are allowed unless given.
    """
    length = job.prompt_tokens + min(answer_tokens or job.answer_tokens, job.answer_tokens)
    rows = job.rows_per_rank
    tokens = rows * length
    forward = 2 * (model.weights + model.adapter_weights) * tokens / (USE * gpu.flops)
    # The base is frozen: its gradients are not computed, those of what flows through it are.
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
    return Pace(steps_of(job), sampled, job.batch * job.samples * length, seconds)


def _generation(job: Job, model: Model, gpu: Gpu, rollout: Rollout, sequences: int, answer: int) -> float:
    wanted = sequences_of_an_engine(job, rollout)
    at_once = max(1, min(sequences, wanted))
    weights = vllm_weights(model, rollout)
    cache = at_once * (job.prompt_tokens + answer / 2) * cached_bytes(model, rollout)
    computed = 2 * model.weights * at_once / rollout.tensor_parallel / (USE * gpu.flops)
    step = max((weights + cache) / (DECODE_USE * gpu.bandwidth), computed) + DECODE_STEP_S
    prompts = wanted / job.samples * job.prompt_tokens * 2 * model.weights / rollout.tensor_parallel / (USE * gpu.flops)
    return math.ceil(wanted / at_once) * answer * step + prompts
