"""Training budget of each method: steps and tokens from its logs (the paper's "matched budgets")."""

import json
from dataclasses import dataclass
from pathlib import Path

from permix_verl.runs.metrics import LOSS, REWARD, read_metrics


@dataclass(frozen=True)
class TrainingBudget:
    """Training budget of a finished run.

    Attributes:
        steps: optimizer steps.
        tokens: tokens trained on, prompts included.
        generated: tokens of these that the model sampled.
    """

    steps: int
    tokens: int
    generated: int


def read_budget(run: Path) -> TrainingBudget | None:
    """Read the budget from a run's metrics; ``None`` without metrics."""
    metrics = read_metrics(run / "metrics")
    rl = [values for values in metrics.values() if REWARD in values]
    if rl:
        files = sorted((run / "records").glob("*.jsonl"))
        generated = sum(_response_tokens(file) for file in files)
        return TrainingBudget(len(rl), int(sum(values["perf/total_num_tokens"] for values in rl)), generated)
    supervised = [values for values in metrics.values() if LOSS in values]
    if not supervised:
        return None
    return TrainingBudget(len(supervised), int(sum(values["train/global_tokens"] for values in supervised)), 0)


def _response_tokens(file: Path) -> int:
    return sum(int(json.loads(line)["tokens"]) for line in file.read_text(encoding="utf-8").splitlines())
