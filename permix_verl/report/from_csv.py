"""Analysis of accuracies from a CSV file; statistics that need single completions are refused with the reason."""

import numpy as np
from numpy.typing import NDArray

from permix_verl import statistics
from permix_verl.evaluation.accuracy_csv import AccuracyTable
from permix_verl.evaluation.analysis import leave_one_out_pss
from permix_verl.evaluation.analysis_types import (
    BestOfK,
    CategoryAnalysis,
    ConditionAnalysis,
    ModelAnalysis,
    PersonaAccuracy,
    nan_to_none,
)
from permix_verl.evaluation.category_analysis import group_by_category, persona_categories
from permix_verl.personas.pool import NO_PERSONA
from permix_verl.statistics import FlipRates, Interval

REASON = "no answers to single problems in a CSV"
"""The reason for refusal of everything that needs single completions."""


def analyse_table(table: AccuracyTable) -> dict[str, ModelAnalysis]:
    """Analyse each model (column); figures that need single completions are missing, with the reason in ``refused``."""
    return {model: _analyse_column(table, column) for column, model in enumerate(table.models)}


def _analyse_column(table: AccuracyTable, column: int) -> ModelAnalysis:
    accuracy = table.accuracy_PM[:, column]
    worst, best = int(accuracy.argmin()), int(accuracy.argmax())
    pss = float(statistics.pss(accuracy))
    return ModelAnalysis(
        refused=REASON,
        model=table.models[column],
        adapter=None,
        personas_tried=len(table.personas),
        personas=tuple(
            _condition(persona, float(value), f"accuracy under {persona} on problems like these")
            for persona, value in zip(table.personas, accuracy, strict=True)
        ),
        no_persona=None
        if table.no_persona_M is None
        else _condition(
            NO_PERSONA, float(table.no_persona_M[column]), "accuracy without a persona on problems like these"
        ),
        worst=PersonaAccuracy(table.personas[worst], float(accuracy[worst])),
        best=PersonaAccuracy(table.personas[best], float(accuracy[best])),
        mean=_refused("accuracy on problems like these, averaged over the personas", float(accuracy.mean())),
        pss_ratio_of_means=nan_to_none(pss),
        pss_interval=_refused("smallest over largest accuracy of these personas, on problems like these", pss),
        cross_fitted_worst=_refused(chosen_persona("worst")),
        cross_fitted_best=_refused(chosen_persona("best")),
        leave_one_out_pss=leave_one_out_pss(table.personas, accuracy),
        best_of_k=BestOfK(tuple(map(float, statistics.best_of_k(accuracy)))),
        worst_minus_no_persona=None
        if table.no_persona_M is None
        else _refused(f"{chosen_persona('worst')}, minus accuracy without persona"),
        tenth_percentile=float(np.quantile(accuracy, 0.1)),
        flip_rates=FlipRates(across=float("nan"), within=float("nan")),
        categories=_categories(table, accuracy),
    )


def _categories(table: AccuracyTable, accuracy_P: NDArray[np.float64]) -> tuple[CategoryAnalysis, ...]:
    groups = group_by_category(persona_categories(table.personas, table.categories))
    analyses = []
    for category, positions in groups.items():
        mine = accuracy_P[positions]
        worst = int(mine.argmin())
        analyses.append(
            CategoryAnalysis(
                category=category,
                personas=tuple(table.personas[position] for position in positions),
                mean=_refused(f"accuracy, averaged over the personas of category {category}", float(mine.mean())),
                worst=PersonaAccuracy(table.personas[positions[worst]], float(mine[worst])),
                cross_fitted_worst=_refused(chosen_persona("worst")) if len(positions) > 1 else None,
            )
        )
    return tuple(analyses)


def chosen_persona(end: str) -> str:
    """Return the estimand of a cross-fitted worst or best accuracy."""
    return f"accuracy of the persona chosen as {end} on half of the problems"


def _condition(persona: str, accuracy: float, estimand: str) -> ConditionAnalysis:
    return ConditionAnalysis(persona=persona, accuracy=accuracy, interval=_refused(estimand, accuracy))


def _refused(estimand: str, estimate: float = float("nan")) -> Interval:
    """Return an interval without limits, and without an estimate by default."""
    return Interval(estimand, estimate, None, None, 0.95, refused=REASON)
