"""What each arm was trained with: steps and tokens, as its own logs count them (the paper's "matched budgets")."""

import json
from dataclasses import dataclass
from pathlib import Path

from permix_verl.runs.metrics import LOSS, REWARD, read_metrics


@dataclass(frozen=True)
class Budget:
    """Of a finished run.

    Attributes:
        steps: optimizer steps.
        tokens: of all sequences that were trained on, prompts included.
        generated: of those, sampled by the model itself.
    """

    steps: int
    tokens: int
    generated: int


def budget_of(run: Path) -> Budget | None:
    """Read a run's metrics; ``None`` where it has none."""
    metrics = read_metrics(run / "metrics")
    rl = [values for values in metrics.values() if REWARD in values]
    if rl:
        files = sorted((run / "records").glob("*.jsonl"))
        generated = sum(_response_tokens(file) for file in files)
        return Budget(len(rl), int(sum(values["perf/total_num_tokens"] for values in rl)), generated)
    supervised = [values for values in metrics.values() if LOSS in values]
    if not supervised:
        return None
    return Budget(len(supervised), int(sum(values["train/global_tokens"] for values in supervised)), 0)


def _response_tokens(file: Path) -> int:
    return sum(int(json.loads(line)["tokens"]) for line in file.read_text(encoding="utf-8").splitlines())
