"""Export of the analysis as JSON types. The keys are the fields of the dataclasses, with the exceptions listed here."""

import json
import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from permix_verl.evaluation.analysis_pooled import MethodDifference
from permix_verl.evaluation.analysis_types import Analysis, ConditionAnalysis, ModelAnalysis, PairComparison
from permix_verl.fidelity.pairwise.analysis_types import JudgeResult, PairwiseAnalysis
from permix_verl.fidelity.personagym.analysis_types import PairedScores
from permix_verl.report.inputs import ReportAnalysis
from permix_verl.statistics import InvarianceTest

RENAMED: Mapping[type, Mapping[str, str]] = {
    Analysis: {"resamples": "draws"},
    ConditionAnalysis: {"truncated": "cut"},
}
"""Keys that differ from the field, by class and field."""
OPTIONAL: Mapping[type, tuple[str, ...]] = {
    ConditionAnalysis: ("truncated_thoughts",),
    JudgeResult: ("rates",),
    MethodDifference: ("worst", "mean", "pss"),
    ModelAnalysis: ("refused", "categories"),
    PairComparison: ("mean_difference", "worst_difference", "swap_test"),
    PairedScores: ("judges",),
}
"""Fields whose key is omitted if they are ``None`` or an empty tuple, by class."""


def report_json(analysis: ReportAnalysis) -> str:
    """Return the text of report.json."""
    content = to_json_types(analysis.accuracy) | {"fidelity": to_json_types(analysis.fidelity)}
    if analysis.likelihood.models:
        content["likelihood"] = to_json_types(analysis.likelihood)
    if analysis.pooled:
        content["pooled"] = to_json_types(analysis.pooled)
    return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def pairwise_json(analysis: PairwiseAnalysis) -> str:
    """Return the text of pairwise.json."""
    return json.dumps(to_json_types(analysis), indent=1, ensure_ascii=False) + "\n"


def to_json_types(value: Any) -> Any:
    """Convert dataclasses to objects, tuples to arrays and NaN, which JSON does not have, to null."""
    if is_dataclass(value):
        return {key: to_json_types(inner) for key, inner in _to_object(value).items()}
    if isinstance(value, Mapping):
        return {key: to_json_types(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [to_json_types(inner) for inner in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def _to_object(value: Any) -> dict[str, Any]:
    """Return a dataclass's keys and values, in the order of its fields."""
    renamed, optional = RENAMED.get(type(value), {}), OPTIONAL.get(type(value), ())
    content = {field.name: getattr(value, field.name) for field in fields(value)}
    content = {
        renamed.get(name, name): inner
        for name, inner in content.items()
        if name not in optional or not (inner is None or inner == ())
    }
    if isinstance(value, InvarianceTest):
        content["verdict"] = value.conclusion
    if isinstance(value, ModelAnalysis) and value.no_persona is not None:
        content["no_persona"] = {key: inner for key, inner in _to_object(value.no_persona).items() if key != "persona"}
    if isinstance(value, JudgeResult) and value.rates is not None:
        content = _replace_key(content, "rates", _to_object(value.rates))
    return content


def _replace_key(content: Mapping[str, Any], key: str, inner: Mapping[str, Any]) -> dict[str, Any]:
    """Put the keys of a nested object in its place."""
    merged: dict[str, Any] = {}
    for name, value in content.items():
        merged |= inner if name == key else {name: value}
    return merged
