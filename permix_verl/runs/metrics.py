"""Metrics of a run, from the files of verl's ``file`` logger.

Each launch writes its own file (verl truncates the one it is given); file names sort by time. Steps retrained after a
resume override those logged before it.
"""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

REWARD = "critic/score/mean"
REWARD_MIN = "critic/score/min"
REWARD_MAX = "critic/score/max"
LENGTH = "response_length/mean"
TRUNCATED = "response_length/clip_ratio"
"""Fraction of truncated responses."""
KL = "actor/kl_loss"
ROLLOUT_ACTOR_CORR = "training/rollout_actor_probs_pearson_corr"
ADAPTER_NORM_RATIO = "training/rollout_adapter_share"
"""Norm of the LoRA weights loaded in the rollout engine over that of the trained ones; 1 if they are in sync."""
STEP_SECONDS = "timing_s/step"
LOSS = "train/loss"
"""SFT loss in nats per response token."""
VAL_LOSS = "val/loss"
GRAD_NORM = "train/grad_norm"
LEARNING_RATE = "train/lr"

Metrics = dict[int, dict[str, float]]
"""Step -> metric name -> value; step 0 is the validation before training."""


def read_metrics(folder: Path) -> Metrics:
    """Read the metrics of all steps of a run, sorted by step; an incomplete last line is skipped."""
    steps: Metrics = {}
    for file in sorted(folder.glob("*.jsonl")):
        launch = _read_launch(file)
        if launch:
            first = min(launch)
            steps = {step: values for step, values in steps.items() if step <= first}
        for step, values in launch.items():
            steps[step] = steps.get(step, {}) | values
    return dict(sorted(steps.items()))


def _read_launch(file: Path) -> Metrics:
    steps: Metrics = {}
    for line in file.read_text(encoding="utf-8").splitlines():
        try:
            record = json.loads(line)
        except json.JSONDecodeError:
            continue
        # A step may have several lines: after a resume, verl logs the initial validation separately.
        values = {name: float(value) for name, value in record["data"].items() if isinstance(value, int | float)}
        steps[int(record["step"])] = steps.get(int(record["step"]), {}) | values
    return steps


def training_steps(metrics: Metrics) -> Metrics:
    """Return the steps with training metrics."""
    return {step: values for step, values in metrics.items() if REWARD in values or LOSS in values}


def validation_accuracy(values: Mapping[str, float], problems: Mapping[str, int] | None = None) -> dict[str, float]:
    """Return condition (persona slug or ``no_persona``) -> accuracy, which verl logs per data source.

    Args:
        problems: source -> number of its validation problems, by which the sources of a condition are weighted; unknown
            sources count alike.
    """
    by_condition: dict[str, list[tuple[int, float]]] = {}
    for name, value in values.items():
        section, _, rest = name.partition("/")
        source, _, metric = rest.rpartition("/acc/mean@")
        if section == "val-core" and metric and "/" in source:
            data_set, _, condition = source.rpartition("/")
            by_condition.setdefault(condition, []).append(((problems or {}).get(data_set, 1), value))
    return {condition: _weighted_mean(parts) for condition, parts in by_condition.items()}


def _weighted_mean(parts: Sequence[tuple[int, float]]) -> float:
    if len(parts) == 1:
        return parts[0][1]
    return math.fsum(weight * value for weight, value in parts) / sum(weight for weight, _ in parts)


def validation_samples(values: Mapping[str, float]) -> int:
    """Return the number of responses per validation prompt, which is part of verl's metric names."""
    samples = {int(name.rsplit("@", 1)[1]) for name in values if name.startswith("val-core/") and "/acc/mean@" in name}
    return max(samples, default=1)


def mismatched_steps(metrics: Metrics, threshold: float) -> dict[int, float]:
    """Return step -> rollout-actor correlation of the steps where it is below ``threshold`` or NaN."""
    mismatched = {}
    for step, values in training_steps(metrics).items():
        correlation = values.get(ROLLOUT_ACTOR_CORR, math.nan)
        if not correlation >= threshold:  # true for NaN too
            mismatched[step] = correlation
    return mismatched
