"""Analysis of accuracies from a CSV file; statistics that need single completions are refused with the reason."""

from typing import Any

import numpy as np

from permix_verl import statistics
from permix_verl.evaluation.accuracy_csv import AccuracyTable

REASON = "no answers to single problems in a CSV"
"""The reason for refusal of everything that needs single completions."""


def analyse_table(table: AccuracyTable) -> dict[str, dict[str, Any]]:
    """Analyse each model (column), in the form of ``analysis.analyse_model``.

    Entries that the accuracies do not determine are ``None``, empty, or an interval without
    limits; the key ``refused`` gives the reason.
    """
    return {model: _analyse_column(table, column) for column, model in enumerate(table.models)}


def _analyse_column(table: AccuracyTable, column: int) -> dict[str, Any]:
    accuracy = table.accuracy_PM[:, column]
    worst, best = int(accuracy.argmin()), int(accuracy.argmax())
    pss = float(statistics.pss(accuracy))
    left_out: list[float] = statistics.leave_one_out_pss(accuracy).tolist() if len(accuracy) > 2 else []
    return {
        "refused": REASON,
        "model": table.models[column],
        "adapter": None,
        "personas_tried": len(table.personas),
        "runs": None,
        "problems": None,
        "dropped_problems": None,
        "personas": [
            {"persona": persona, **_condition(float(value), f"accuracy under {persona} on problems like these")}
            for persona, value in zip(table.personas, accuracy, strict=True)
        ],
        "no_persona": None
        if table.no_persona_M is None
        else _condition(float(table.no_persona_M[column]), "accuracy without a persona on problems like these"),
        "worst": {"persona": table.personas[worst], "accuracy": float(accuracy[worst])},
        "best": {"persona": table.personas[best], "accuracy": float(accuracy[best])},
        "mean": _refused(
            "accuracy on problems like these, averaged over the personas",
            float(accuracy.mean()),
        ),
        "pss_ratio_of_means": pss,
        "pss_mean_of_run_ratios": None,
        "pss_of_runs": [],
        "pss_interval": _refused(
            "smallest over largest accuracy of these personas, on problems like these",
            pss,
        ),
        "strict": None,
        "cross_fitted_worst": _refused("accuracy of the persona chosen as worst on half of the problems", None),
        "cross_fitted_best": _refused("accuracy of the persona chosen as best on half of the problems", None),
        "invariance": {},
        "leave_one_out_pss": dict(zip(table.personas, left_out, strict=False)),
        "best_of_k": {"apparent": [float(value) for value in statistics.best_of_k(accuracy)], "cross_fitted": []},
        "worst_minus_no_persona": None
        if table.no_persona_M is None
        else _refused(
            "accuracy of the persona chosen as worst on half of the problems, minus accuracy without persona", None
        ),
        "tenth_percentile": float(np.quantile(accuracy, 0.1)),
        "flip_rates": {"across": None, "within": None},
        "persona_sd": None,
        "theory": [],
    }


def _condition(accuracy: float, estimand: str) -> dict[str, Any]:
    return {
        "accuracy": accuracy,
        "std_over_runs": None,
        "interval": _refused(estimand, accuracy),
        "no_answer": None,
        "cut": None,
        "timeout": None,
        "error": None,
        "accuracy_among_parsed": None,
        "mean_tokens": None,
        "strict_accuracy": None,
        "parsers_share": None,
        "marks": None,
    }


def _refused(estimand: str, estimate: float | None) -> dict[str, Any]:
    """Return a refused interval as plain data."""
    return {
        "estimand": estimand,
        "estimate": estimate,
        "low": None,
        "high": None,
        "level": 0.95,
        "standard_error": None,
        "refused": REASON,
    }
