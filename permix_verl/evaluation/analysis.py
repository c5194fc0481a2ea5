"""Accuracy analysis of results: statistics of every model on every task, and of all pairs of models on a task."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from permix_verl import statistics
from permix_verl.errors import UserError
from permix_verl.evaluation.analysis_types import (
    Analysis,
    BestOfK,
    ConditionAnalysis,
    ModelAnalysis,
    PairComparison,
    PersonaAccuracy,
    StrictAnalysis,
    TaskAnalysis,
    nan_to_none,
)
from permix_verl.evaluation.category_analysis import analyse_categories
from permix_verl.evaluation.results import Results
from permix_verl.evaluation.theory_prediction import BETAS, predict
from permix_verl.personas.pool import NO_PERSONA
from permix_verl.statistics import InvarianceTest

Floats = NDArray[np.float64]


def analyse(results: Sequence[Results], *, seed: int = 0, resamples: int = 2000) -> Analysis:
    """Analyse all tasks and models.

    Args:
        seed: seed of the splits, permutations and bootstraps.
        resamples: permutations of each invariance test.

    Raises:
        UserError: two results folders of one name; a task with one problem.
    """
    models: dict[str, dict[str, ModelAnalysis]] = {}
    for result in results:
        of_task = models.setdefault(result.task, {})
        if result.label in of_task:
            raise UserError(f"two results folders are named {result.label}", "rename one of them")
        of_task[result.label] = analyse_model(result, seed=seed, resamples=resamples)
    tasks = {
        task: TaskAnalysis(of_task, _compare_all((result for result in results if result.task == task), seed))
        for task, of_task in models.items()
    }
    return Analysis(tasks, seed, resamples)


def _compare_all(results: Iterable[Results], seed: int) -> tuple[PairComparison, ...]:
    return tuple(compare(first, second, seed=seed) for first, second in combinations(results, 2))


def analyse_model(result: Results, *, seed: int, resamples: int) -> ModelAnalysis:
    """Analyse one model on one task.

    Raises:
        UserError: a single problem.
    """
    correct = result.correct_PRN
    if correct.shape[2] < 2:
        raise UserError(
            f"results folder {result.label} holds 1 whole problem of task {result.task}, which cannot be split in "
            "halves",
            "evaluate two or more (eval/run.py --limit)",
        )
    accuracy, control = statistics.persona_accuracy(correct), result.control_RN
    worst, best = _worst_and_best(result, accuracy)
    return ModelAnalysis(
        model=result.model,
        adapter=result.adapter,
        personas_tried=len(result.personas),
        runs=correct.shape[1],
        problems=correct.shape[2],
        dropped_problems=result.dropped,
        personas=tuple(
            _analyse_condition(result, persona, correct[row], f"under {persona}")
            for row, persona in enumerate(result.personas)
        ),
        no_persona=None if control is None else _analyse_condition(result, NO_PERSONA, control, "without a persona"),
        worst=worst,
        best=best,
        mean=statistics.mean_interval(correct),
        pss_ratio_of_means=nan_to_none(statistics.pss(accuracy)),
        pss_mean_of_run_ratios=nan_to_none(statistics.mean_of_run_pss(correct)),
        pss_of_runs=tuple(map(nan_to_none, statistics.pss(correct.mean(axis=2)))),
        pss_interval=statistics.pss_interval(correct, seed=seed),
        strict=_analyse_strict(result),
        cross_fitted_worst=statistics.cross_fitted_worst(correct, seed=seed),
        cross_fitted_best=statistics.cross_fitted_worst(correct, seed=seed, best=True),
        invariance=_test_invariance(correct, seed=seed, resamples=resamples),
        leave_one_out_pss=leave_one_out_pss(result.personas, accuracy),
        best_of_k=BestOfK(
            tuple(map(float, statistics.best_of_k(accuracy))),
            tuple(map(float, statistics.cross_fitted_best_of_k(correct, seed=seed))),
        ),
        worst_minus_no_persona=None if control is None else statistics.worst_minus_control(correct, control, seed=seed),
        tenth_percentile=float(np.quantile(accuracy, 0.1)),
        flip_rates=statistics.flip_rates(correct),
        persona_sd=nan_to_none(statistics.persona_sd(correct)),
        theory=tuple(predict(correct, beta) for beta in BETAS),
        categories=analyse_categories(result, seed=seed),
    )


def leave_one_out_pss(personas: Sequence[str], accuracy_P: Floats) -> dict[str, float | None]:
    """Return PSS (ratio of means) without each persona; empty below three personas."""
    if len(personas) < 3:
        return {}
    return dict(zip(personas, map(nan_to_none, statistics.leave_one_out_pss(accuracy_P)), strict=True))


def compare(first: Results, second: Results, *, seed: int) -> PairComparison:
    """Compare two models on the personas and problems that both have.

    Args:
        seed: seed of the splits and exchanges.
    """
    personas, problems = _common_personas_and_problems(first, second)
    comparison = PairComparison(first.label, second.label, len(personas), len(problems))
    if len(personas) < 2 or len(problems) < 2:
        return replace(comparison, refused="fewer than two personas or problems in common")
    if mismatch := describe_gold_mismatch(first, second, problems):
        return replace(comparison, refused=mismatch)
    correct, other = (_select_correct(result, personas, problems) for result in (first, second))
    runs = min(correct.shape[1], other.shape[1])  # the swap test drops surplus runs
    testable = correct[:, :runs].any() and other[:, :runs].any()
    return replace(
        comparison,
        mean_difference=statistics.paired_interval(
            correct.mean(axis=(0, 1)), other.mean(axis=(0, 1)), "difference in accuracy, averaged over the personas"
        ),
        worst_difference=statistics.paired_interval(
            statistics.cross_fitted_scores(correct, seed=seed),
            statistics.cross_fitted_scores(other, seed=seed),
            "difference in accuracy of the personas that each model's half of the problems chose as worst",
        ),
        swap_test=statistics.swap_test(correct, other, seed=seed) if testable else None,
    )


def _common_personas_and_problems(first: Results, second: Results) -> tuple[list[str], list[str]]:
    """Return the common persona keys and problem ids, in the order of ``first``."""
    shared = set(second.problems)
    personas = [persona for persona in first.personas if persona in second.personas]
    return personas, [problem for problem in first.problems if problem in shared]


def describe_gold_mismatch(first: Results, second: Results, problems: Sequence[str]) -> str:
    """Return a message if common ids have different gold answers, and thus stand for different problems; else ""."""
    golds, other_golds = (dict(zip(result.problems, result.golds, strict=True)) for result in (first, second))
    differing = [problem for problem in problems if golds[problem] != other_golds[problem]]
    if not differing:
        return ""
    example = differing[0]
    reordered = sorted(golds[problem] for problem in problems) == sorted(other_golds[problem] for problem in problems)
    return (
        f"{len(differing)} of {len(problems)} problems have another gold answer, first {example} "
        f"({golds[example][:20]} and {other_golds[example][:20]}): "
        + ("the same problems in another order" if reordered else "other problems under the same numbers")
        + "; evaluate both on one file"
    )


def _select_correct(result: Results, personas: Sequence[str], problems: Sequence[str]) -> Floats:
    """Return the correctness (P, R, N) of these personas on these problems, in this order."""
    rows = [result.personas.index(persona) for persona in personas]
    column_of = {problem: column for column, problem in enumerate(result.problems)}
    return result.correct_PRN[rows][:, :, [column_of[problem] for problem in problems]]


def _analyse_condition(result: Results, condition: str, correct_RN: Floats, description: str) -> ConditionAnalysis:
    """Analyse a persona, or the control.

    Args:
        description: the condition in words, for the estimand.
    """
    counts, total = result.status_counts[condition], result.status_counts[condition].samples
    marks = None if result.mark_counts is None else result.mark_counts[condition]
    return ConditionAnalysis(
        persona=condition,
        accuracy=float(correct_RN.mean()),
        std_over_runs=float(correct_RN.mean(axis=1).std(ddof=1)) if len(correct_RN) > 1 else None,
        interval=statistics.cluster_interval(correct_RN.mean(axis=0), f"accuracy {description} on problems like these"),
        no_answer=counts.no_answer / total,
        truncated=counts.truncated / total,
        timeout=counts.timeout / total,
        error=counts.error / total,
        accuracy_among_parsed=counts.correct / counts.parsed if counts.parsed else None,
        mean_tokens=nan_to_none(result.mean_tokens[condition]),
        strict_accuracy=None if marks is None else counts.strict / total,
        parsers_share=None if marks is None else (counts.correct - counts.strict) / total,
        marks=None if marks is None else {mark: count / total for mark, count in sorted(marks.items())},
        truncated_thoughts=counts.truncated_thoughts / total if result.has_truncated_thoughts else None,
    )


def _worst_and_best(result: Results, accuracy_P: Floats) -> tuple[PersonaAccuracy, PersonaAccuracy]:
    worst, best = int(accuracy_P.argmin()), int(accuracy_P.argmax())
    return (
        PersonaAccuracy(result.personas[worst], float(accuracy_P[worst])),
        PersonaAccuracy(result.personas[best], float(accuracy_P[best])),
    )


def _analyse_strict(result: Results) -> StrictAnalysis | None:
    """Analyse accuracy if only answers with a strict mark count; ``None`` if marks are not recorded."""
    if result.mark_counts is None:
        return None
    counts = [result.status_counts[persona] for persona in result.personas]
    strict = np.array([count.strict / count.samples for count in counts])
    lenient = np.array([(count.correct - count.strict) / count.samples for count in counts])
    worst, best = _worst_and_best(result, strict)
    return StrictAnalysis(
        worst, best, float(strict.mean()), nan_to_none(statistics.pss(strict)), parsers_share=float(lenient.mean())
    )


def _test_invariance(correct_PRN: Floats, *, seed: int, resamples: int) -> dict[str, InvarianceTest]:
    """Run both invariance tests; none without a correct completion, as PSS is undefined then."""
    if not correct_PRN.any():
        return {}
    return {
        null: statistics.invariance_test(correct_PRN, null, seed=seed, resamples=resamples) for null in statistics.NULLS
    }
