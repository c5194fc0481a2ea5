"""Estimates of a reproduction's tokens and GPU hours.

The estimate is arithmetic on token counts; its assumptions are printed with it. FLOPs of one token for a model of N
parameters: 2N for a forward pass; 6N for an adapter update with activation checkpointing (two forward passes, and a
backward pass through the base's activations). GRPO adds two forward passes, for old and reference log-probs.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from permix_verl.evaluation.sweep import billions
from permix_verl.paper.settings import PaperSettings
from permix_verl.paper.tables import TEACHERS, Method

TRAIN_ROWS = 7441
"""GSM8K's training problems without 32 for validation."""
PROMPT_TOKENS, PERSONA_TOKENS, TARGET_TOKENS, COMPLETION_TOKENS = 120, 45, 130, 200
"""Approximate tokens of a problem with instruction and template, a persona, a target solution, a completion."""
PROBLEMS: Mapping[str, tuple[int, int]] = {
    "gsm8k": (1319, 200),
    "math500": (500, 500),
    "aime24": (30, 1500),
    "livecodebench": (1055, 500),
}
"""Task -> number of problems, and approximate tokens of a completion."""
TRAINING_EFFICIENCY, GENERATION_EFFICIENCY = 0.3, 0.2
"""Assumed model FLOPs utilization (MFU)."""


@dataclass
class Estimate:
    """Estimate of tokens and GPU hours; a training counts the tokens trained on, as ``read_budget`` does."""

    tokens: float = 0.0
    gpu_hours: float = 0.0

    def add_gpu_hours(
        self, parameters: float, operations: float, tokens: float, efficiency: float, tflops: float
    ) -> None:
        """Add the GPU hours of ``tokens`` at ``operations * parameters`` FLOPs a token."""
        self.gpu_hours += operations * parameters * tokens / (tflops * 1e12 * efficiency) / 3600


def parameters(model: str) -> float | None:
    """Parse a model's parameter count from its name; ``None`` if the name has no size."""
    size = billions(model)
    return float(size) * 1e9 if size else None


def training_estimate(method: Method, settings: PaperSettings, size: float) -> Estimate:
    """Estimate a GSM8K training with the recipes' defaults, including target generation."""
    estimate = Estimate()
    persona = PERSONA_TOKENS if method.row[2] != "problem" else 0
    if method.recipe is None:
        return estimate
    if not method.supervised:
        samples = TRAIN_ROWS * 8
        estimate.tokens = samples * (PROMPT_TOKENS + persona + COMPLETION_TOKENS)
        estimate.add_gpu_hours(size, 2, samples * COMPLETION_TOKENS, GENERATION_EFFICIENCY, settings.tflops)
        estimate.add_gpu_hours(size, 10, estimate.tokens, TRAINING_EFFICIENCY, settings.tflops)
        return estimate
    estimate.tokens = 3 * TRAIN_ROWS * (PROMPT_TOKENS + persona + TARGET_TOKENS)
    estimate.add_gpu_hours(size, 6, estimate.tokens, TRAINING_EFFICIENCY, settings.tflops)
    if method.writer in TEACHERS:
        teacher = parameters(settings.writers.get(method.writer) or TEACHERS[method.writer][1]) or size
        estimate.add_gpu_hours(teacher, 2, TRAIN_ROWS * COMPLETION_TOKENS, GENERATION_EFFICIENCY, settings.tflops)
    return estimate


def evaluation_estimate(settings: PaperSettings, size: float) -> Estimate:
    """Estimate one method's evaluation: completions under 16 personas and none."""
    estimate = Estimate()
    for task in (text.partition("=")[0] for text in settings.tasks):
        if task in PROBLEMS:
            problems, tokens = PROBLEMS[task]
            samples = min(problems, settings.limit or problems) * 17 * settings.runs
            estimate.tokens += samples * tokens
            estimate.add_gpu_hours(size, 2, samples * tokens, GENERATION_EFFICIENCY, settings.tflops)
    return estimate
