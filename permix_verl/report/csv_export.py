"""Export of the report as CSV tables."""

import csv
import io
import math
from collections.abc import Mapping, Sequence
from typing import Any

from permix_verl.evaluation.analysis_pooled import PooledTask
from permix_verl.evaluation.analysis_types import ConditionAnalysis, ModelAnalysis, StrictAnalysis, TaskAnalysis
from permix_verl.fidelity.personagym.analysis_types import FidelityAnalysis
from permix_verl.report.category_tables import category_rows
from permix_verl.statistics import NULLS, Interval, InvarianceTest

Tasks = Mapping[str, TaskAnalysis]
Row = dict[str, Any]
"""Values by column; ``None`` and NaN become empty cells."""


def summary_csv(tasks: Tasks) -> str:
    """Write one row per task and model; accuracies are unrounded fractions, missing values are empty."""
    return _csv([_summary_row(task, label, model) for task, label, model in _models(tasks)])


def personas_csv(tasks: Tasks) -> str:
    """Write one row per task, model and persona, including the control, with fractions of marks if recorded."""
    rows = [
        (condition, _condition_row(task, label, model, condition))
        for task, label, model in _models(tasks)
        for condition in model.conditions()
    ]
    marks = sorted({mark for condition, _ in rows for mark in condition.marks or ()})
    thoughts = any(condition.truncated_thoughts is not None for condition, _ in rows)
    return _csv(
        [row | _thought_columns(condition, thoughts) | _mark_columns(condition, marks) for condition, row in rows]
    )


def categories_csv(tasks: Tasks) -> str:
    """Write one row per task, category and model; empty if no category is known.

    The limits are about other problems like these, under the same personas.
    """
    rows: list[Row] = [
        {
            "task": task,
            "category": category,
            "model": label,
            "personas": len(analysis.personas),
            **_estimate("mean", analysis.mean),
            "mean_standard_error": analysis.mean.standard_error,
            "worst_persona": analysis.worst.persona,
            "worst": analysis.worst.accuracy,
            **_estimate("cross_fitted_worst", analysis.cross_fitted_worst),
        }
        for task, of_task in tasks.items()
        for category, label, analysis in category_rows(of_task.models)
    ]
    return _csv(rows)


def fidelity_csv(fidelity: FidelityAnalysis) -> str:
    """Write one row per scoring, model, judge ("all" for all together) and task; empty if nothing was judged."""
    rows = []
    for label, model in fidelity.models.items():
        for scoring, result in model.scorings.items():
            for task, scores in result.tasks.items():
                for judge, interval in (("all", scores.together), *scores.judges.items()):
                    row: Row = {"scoring": scoring, "model": label, "judge": judge, "task": task}
                    row |= _estimate("score", interval)
                    rows.append(row | {"standard_error": interval.standard_error})
    return _csv(rows)


def pooled_csv(pooled: Mapping[str, PooledTask]) -> str:
    """Write one row per task, method and pooled quantity, then the differences of two methods (method minus other)."""
    rows: list[Row] = []
    for name, task in pooled.items():
        for label, method in task.methods.items():
            of_method: Row = {"task": name, "method": label, "minus": None, "models": ", ".join(method.models)}
            of_method |= {"personas": method.personas, "runs": method.runs, "problems": method.problems}
            for quantity, pool in method.quantities().items():
                row = of_method | {"quantity": quantity, **_estimate("estimate", pool.interval)}
                rows.append(row | {"half_from_problems": pool.from_problems, "half_from_seeds": pool.from_seeds})
        for pair in task.differences:
            row = {"task": name, "method": pair.first, "minus": pair.second}
            if pair.refused is not None:
                rows.append(row | {"estimate_refused": pair.refused})
            for quantity, interval in pair.quantities().items():
                rows.append(row | {"quantity": quantity, **_estimate("estimate", interval)})
    return _csv(rows)


def _models(tasks: Tasks) -> list[tuple[str, str, ModelAnalysis]]:
    return [(name, label, model) for name, task in tasks.items() for label, model in task.models.items()]


def _condition_row(task: str, label: str, model: ModelAnalysis, condition: ConditionAnalysis) -> Row:
    return {
        "task": task,
        "model": label,
        "persona": condition.persona,
        "accuracy": condition.accuracy,
        "std_over_runs": condition.std_over_runs,
        **_limits("interval", condition.interval),
        "pss_without": model.leave_one_out_pss.get(condition.persona),
        "no_answer": condition.no_answer,
        "cut": condition.truncated,
        "timeout": condition.timeout,
        "error": condition.error,
        "accuracy_among_parsed": condition.accuracy_among_parsed,
        "mean_tokens": condition.mean_tokens,
        "strict_accuracy": condition.strict_accuracy,
        "parsers_share": condition.parsers_share,
    }


def _thought_columns(condition: ConditionAnalysis, shown: bool) -> Row:
    return {"thought_cut_off": condition.truncated_thoughts} if shown else {}


def _mark_columns(condition: ConditionAnalysis, marks: Sequence[str]) -> Row:
    recorded = condition.marks
    return {f"mark_{mark}": None if recorded is None else recorded.get(mark, 0.0) for mark in marks}


def _summary_row(task: str, label: str, model: ModelAnalysis) -> Row:
    row = {
        "task": task,
        "model": label,
        "model_name": model.model,
        "adapter": model.adapter,
        "personas": model.personas_tried,
        "runs": model.runs,
        "problems": model.problems,
        "dropped_problems": model.dropped_problems,
        "worst_persona": model.worst.persona,
        "worst": model.worst.accuracy,
        "best_persona": model.best.persona,
        "best": model.best.accuracy,
        "mean": model.mean.estimate,
        "mean_standard_error": model.mean.standard_error,
        **_limits("mean", model.mean),
        "no_persona": model.no_persona.accuracy if model.no_persona else None,
        "pss_ratio_of_means": model.pss_ratio_of_means,
        "pss_mean_of_run_ratios": model.pss_mean_of_run_ratios,
        **_limits("pss", model.pss_interval),
    }
    for null in NULLS:
        row |= _test_columns(null, model.invariance.get(null))
    return row | {
        **_estimate("cross_fitted_worst", model.cross_fitted_worst),
        **_estimate("cross_fitted_best", model.cross_fitted_best),
        **_estimate("worst_minus_no_persona", model.worst_minus_no_persona),
        "tenth_percentile": model.tenth_percentile,
        "flips_across": model.flip_rates.across,
        "flips_within": model.flip_rates.within,
        "persona_sd": model.persona_sd,
        **_strict_columns(model.strict),
    }


def _test_columns(null: str, test: InvarianceTest | None) -> Row:
    return {
        f"{null}_expected": test.expected if test else None,
        f"{null}_low": test.low if test else None,
        f"{null}_high": test.high if test else None,
        f"{null}_expected_run_mean": test.expected_run_mean if test else None,
        f"{null}_p_value": test.p_value if test else None,
        f"{null}_verdict": test.conclusion if test else None,
    }


def _strict_columns(strict: StrictAnalysis | None) -> Row:
    return {
        "strict_worst_persona": strict.worst.persona if strict else None,
        "strict_worst": strict.worst.accuracy if strict else None,
        "strict_best_persona": strict.best.persona if strict else None,
        "strict_best": strict.best.accuracy if strict else None,
        "strict_mean": strict.mean if strict else None,
        "strict_pss_ratio_of_means": strict.pss_ratio_of_means if strict else None,
        "parsers_share": strict.parsers_share if strict else None,
    }


def _estimate(name: str, interval: Interval | None) -> Row:
    return {name: interval.estimate if interval else None, **_limits(name, interval)}


def _limits(name: str, interval: Interval | None) -> Row:
    return {
        f"{name}_low": interval.low if interval else None,
        f"{name}_high": interval.high if interval else None,
        f"{name}_refused": interval.refused if interval else None,
    }


def _csv(rows: Sequence[Row]) -> str:
    if not rows:
        return ""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({column: None if _is_nan(value) else value for column, value in row.items()})
    return stream.getvalue()


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)
