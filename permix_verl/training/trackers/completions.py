"""Sampled completions of a run's last validation: of each persona the best and the worst."""

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

PER_PERSONA = 4
"""Most completions of a persona: one half of them its best, the other its worst."""
COLUMNS = ("step", "persona", "mean_score", "score", "completion", "prompt", "gold_answer", "row_id")
_LONGEST = 4000
"""Characters of the longest text that is kept whole."""


def sample_completions(run_dir: Path, per_persona: int = PER_PERSONA) -> list[dict[str, Any]]:
    """Return rows with :data:`COLUMNS`, the personas in the order of their mean score, the worst first.

    Empty without a validation, or if the reward does not report the persona.
    """
    file = _last_file(run_dir / "validation")
    by_persona: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in _read_rows(file) if file else []:
        if row.get("persona"):
            by_persona[str(row["persona"])].append(row)
    means = {persona: sum(float(row["score"]) for row in rows) / len(rows) for persona, rows in by_persona.items()}
    return [
        _row(row, persona, means[persona])
        for persona in sorted(means, key=lambda name: (means[name], name))
        for row in _extremes(by_persona[persona], per_persona)
    ]


def _last_file(folder: Path) -> Path | None:
    files = [file for file in folder.glob("*.jsonl") if file.stem.isdigit()]
    return max(files, key=lambda file: int(file.stem), default=None)


def _read_rows(file: Path) -> list[dict[str, Any]]:
    rows = []
    for line in file.read_text(encoding="utf-8").split("\n"):
        try:
            row = json.loads(line)
        except json.JSONDecodeError:  # the last line of a killed run
            continue
        if isinstance(row, dict) and isinstance(row.get("score"), int | float):
            rows.append(row)
    return rows


def _extremes(rows: list[dict[str, Any]], number: int) -> list[dict[str, Any]]:
    """Return the best and the worst rows, best first; equal scores in the order of their problems."""
    ranked = sorted(rows, key=lambda row: (-float(row["score"]), str(row.get("row_id", "")), str(row.get("uid", ""))))
    if len(ranked) <= number:
        return ranked
    best = (number + 1) // 2
    return ranked[:best] + ranked[len(ranked) - (number - best) :]


def _row(row: dict[str, Any], persona: str, mean: float) -> dict[str, Any]:
    values = (
        int(row.get("step", 0)),
        persona,
        mean,
        float(row["score"]),
        _shorten(row.get("output")),
        _shorten(row.get("input")),
        _shorten(row.get("gts")),
        str(row.get("row_id", "")),
    )
    return dict(zip(COLUMNS, values, strict=True))


def _shorten(text: Any) -> str:
    text = "" if text is None else str(text)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} ... ({len(text)} characters)"
