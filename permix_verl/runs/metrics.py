"""The metrics of a run, as verl's ``file`` logger wrote them.

Each launch writes its own file (verl truncates what it is given), named so that
names sort by time; a step that was trained twice, before and after a crash,
counts as the later launch saw it. What an earlier launch saw of steps that a later
one trains anew, from an earlier checkpoint, is of other weights and does not count.
"""

import json
import math
from collections.abc import Mapping
from pathlib import Path

REWARD = "critic/score/mean"
REWARD_MIN = "critic/score/min"
REWARD_MAX = "critic/score/max"
LENGTH = "response_length/mean"
CUT = "response_length/clip_ratio"
"""Share of the responses that are as long as they may be."""
KL = "actor/kl_loss"
AGREEMENT = "training/rollout_actor_probs_pearson_corr"
ADAPTER_SYNC = "training/rollout_adapter_share"
"""Size of the LoRA weights that the rollout engine holds, over the trained ones': 1 where they are the same."""
STEP_SECONDS = "timing_s/step"
LOSS = "train/loss"
"""Of supervised training; in nats a token of the response."""
VAL_LOSS = "val/loss"
GRAD_NORM = "train/grad_norm"
LEARNING_RATE = "train/lr"

Metrics = dict[int, dict[str, float]]
"""Step number to metric name to value; step 0 is the validation before training."""


def read_metrics(folder: Path) -> Metrics:
    """All steps of a run, sorted. A last line that is still being written is left out."""
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
        # verl logs the validation before training apart from the step that follows a resume.
        values = {name: float(value) for name, value in record["data"].items() if isinstance(value, int | float)}
        steps[int(record["step"])] = steps.get(int(record["step"]), {}) | values
    return steps


def training_steps(metrics: Metrics) -> Metrics:
    """Only the steps that trained."""
    return {step: values for step, values in metrics.items() if REWARD in values or LOSS in values}


def validation_accuracy(values: Mapping[str, float]) -> dict[str, float]:
    """Accuracy per arm (persona slug or ``no_persona``) of one validation, from verl's curves per data source."""
    accuracy = {}
    for name, value in values.items():
        section, _, rest = name.partition("/")
        source, _, metric = rest.rpartition("/acc/mean@")
        if section == "val-core" and metric and "/" in source:
            accuracy[source.rsplit("/", 1)[1]] = value
    return accuracy


def validation_samples(values: Mapping[str, float]) -> int:
    """Answers to each prompt of one validation: the number in the name of verl's metric."""
    found = {int(name.rsplit("@", 1)[1]) for name in values if name.startswith("val-core/") and "/acc/mean@" in name}
    return max(found, default=1)


def disagreements(metrics: Metrics, threshold: float) -> dict[int, float]:
    """Steps at which rollout and actor probabilities correlate less than ``threshold``, or not at all."""
    found = {}
    for step, values in training_steps(metrics).items():
        agreement = values.get(AGREEMENT, math.nan)
        if not agreement >= threshold:  # NaN is a disagreement too
            found[step] = agreement
    return found
