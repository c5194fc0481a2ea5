"""Tables of accuracy and PSS under lenient and strict reading of final answers."""

from collections.abc import Mapping
from typing import Any

from permix_verl.report import formatting as fmt
from permix_verl.report.document import Block, table
from permix_verl.reward_fns.math_reward import STRICT_MARKS

STRICT = " or ".join({"boxed": "a closed box", "hash": "####"}.get(mark, mark) for mark in STRICT_MARKS)
"""The reward file's strict marks, in words."""
NOT_RECORDED = "not recorded"


def strict(models: Mapping[str, Mapping[str, Any]]) -> list[Block]:
    """Build the table of all models; empty if no model has recorded marks."""
    if not any(model["strict"] for model in models.values()):
        return []
    columns = (
        ("l", "model"),
        ("r", "mean (%)"),
        ("r", "strict mean (%)"),
        ("r", "parser's share (points)"),
        ("l", "worst (%)"),
        ("l", "strict worst (%)"),
        ("l", "best (%)"),
        ("l", "strict best (%)"),
        ("r", "PSS, ratio of means"),
        ("r", "strict PSS, ratio of means"),
    )
    rows = [[label, *_cells(model)] for label, model in models.items()]
    caption = (
        f"Lenient and strict reading. Strict: an answer is correct only if it is marked by {STRICT}. The parser's "
        "share is the mean less the strict mean."
    )
    return [table(caption, columns, rows)]


def _cells(model: Mapping[str, Any]) -> list[str]:
    strict_values = model["strict"]
    absent = f"refused: {model['refused']}" if model.get("refused") else NOT_RECORDED
    cells = [
        fmt.percent(model["mean"]["estimate"]),
        fmt.percent(strict_values["mean"]) if strict_values else absent,
        fmt.percent(strict_values["parsers_share"]) if strict_values else absent,
    ]
    for end in ("worst", "best"):
        cells += [_end(model[end]), _end(strict_values[end]) if strict_values else absent]
    return [
        *cells,
        fmt.ratio(model["pss_ratio_of_means"]),
        fmt.ratio(strict_values["pss_ratio_of_means"]) if strict_values else absent,
    ]


def _end(end: Mapping[str, Any]) -> str:
    return f"{fmt.percent(end['accuracy'])} ({end['persona']})"
