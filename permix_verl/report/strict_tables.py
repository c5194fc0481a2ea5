"""Tables of accuracy and PSS under lenient and strict reading of final answers."""

from collections.abc import Mapping

from permix_verl.evaluation.analysis_types import ModelAnalysis, PersonaAccuracy
from permix_verl.report import formatting as fmt
from permix_verl.report.document import Block, table
from permix_verl.reward_fns.math_reward import STRICT_MARKS

STRICT = " or ".join({"boxed": "a closed box", "hash": "####"}.get(mark, mark) for mark in STRICT_MARKS)
"""The reward file's strict marks, in words."""
NOT_RECORDED = "not recorded"


def strict_blocks(models: Mapping[str, ModelAnalysis]) -> list[Block]:
    """Build the table of all models; empty if no model has recorded marks."""
    if not any(model.strict for model in models.values()):
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


def _cells(model: ModelAnalysis) -> list[str]:
    strict_values = model.strict
    if strict_values is None:
        absent = f"refused: {model.refused}" if model.refused else NOT_RECORDED
        strict_cells = dict.fromkeys(("mean", "share", "worst", "best", "pss"), absent)
    else:
        strict_cells = {
            "mean": fmt.percent(strict_values.mean),
            "share": fmt.percent(strict_values.parsers_share),
            "worst": _with_persona(strict_values.worst),
            "best": _with_persona(strict_values.best),
            "pss": fmt.ratio(strict_values.pss_ratio_of_means),
        }
    return [
        fmt.percent(model.mean.estimate),
        strict_cells["mean"],
        strict_cells["share"],
        _with_persona(model.worst),
        strict_cells["worst"],
        _with_persona(model.best),
        strict_cells["best"],
        fmt.ratio(model.pss_ratio_of_means),
        strict_cells["pss"],
    ]


def _with_persona(extreme: PersonaAccuracy) -> str:
    return f"{fmt.percent(extreme.accuracy)} ({extreme.persona})"
