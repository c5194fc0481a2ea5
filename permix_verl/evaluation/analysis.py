"""Everything the report says, as plain data: what JSON holds and what pages and tables are made of."""

from collections.abc import Sequence
from dataclasses import asdict
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from permix_verl import statistics
from permix_verl.errors import UserError
from permix_verl.evaluation.results import Results
from permix_verl.statistics import closed_form

BETAS = (10.0, 3.0, 1.0, 0.5, 0.3, 0.2, 0.1)
"""KL coefficients at which the closed form is evaluated (reward units)."""


def analyse(results: Sequence[Results], *, seed: int = 0, resamples: int = 2000) -> dict[str, Any]:
    """All tasks and models.

    Returns:
        ``{"tasks": {task: {"models": {label: ...}, "pairs": [...]}}}``; see :func:`analyse_model` and
        :func:`compare` for the inner parts. Numbers are Python floats; accuracies lie in [0, 1].

    Raises:
        UserError: two results folders of one name; a task with one problem.
    """
    tasks: dict[str, dict[str, Any]] = {}
    for result in results:
        entry = tasks.setdefault(result.task, {"models": {}, "pairs": []})
        if result.label in entry["models"]:
            raise UserError(f"two results folders are named {result.label}; rename one of them")
        entry["models"][result.label] = analyse_model(result, seed=seed, resamples=resamples)
    for task, entry in tasks.items():
        for first, second in combinations([result for result in results if result.task == task], 2):
            entry["pairs"].append(compare(first, second, seed=seed))
    return {"tasks": tasks, "seed": seed, "draws": resamples}


def analyse_model(result: Results, *, seed: int, resamples: int) -> dict[str, Any]:
    """One model on one task."""
    correct = result.correct_PRN
    if correct.shape[2] < 2:
        raise UserError(
            f"results folder {result.label} holds 1 whole problem of task {result.task}, which cannot be split in "
            "halves; evaluate two or more (eval/run.py --limit)"
        )
    accuracy = statistics.persona_accuracy(correct)
    solved = accuracy.max() > 0
    analysis: dict[str, Any] = {
        "model": result.model,
        "adapter": result.adapter,
        "personas_tried": len(result.personas),
        "runs": correct.shape[1],
        "problems": correct.shape[2],
        "dropped_problems": result.dropped,
        "personas": [
            {"persona": persona, **_arm(result, persona, correct[row], f"under {persona}")}
            for row, persona in enumerate(result.personas)
        ],
        "no_persona": None,
        **_worst_and_best(result, accuracy),
        "mean": asdict(statistics.mean_interval(correct)),
        **_pss(correct, accuracy, seed=seed),
        "strict": _strict(result),
        "cross_fitted_worst": asdict(statistics.cross_fitted_worst(correct, seed=seed)),
        "cross_fitted_best": asdict(statistics.cross_fitted_worst(correct, seed=seed, best=True)),
        "invariance": {},
        "leave_one_out_pss": {},
        "best_of_k": {
            "apparent": _list(statistics.best_of_k(accuracy)),
            "cross_fitted": _list(statistics.cross_fitted_best_of_k(correct, seed=seed)),
        },
        "worst_minus_no_persona": None,
        "tenth_percentile": float(np.quantile(accuracy, 0.1)),
        "flip_rates": asdict(statistics.flip_rates(correct)),
        "persona_sd": statistics.persona_sd(correct) if correct.shape[2] > 1 else None,
        "theory": _theory(correct),
    }
    if solved:
        for null in statistics.NULLS:
            test = statistics.invariance_test(correct, null, seed=seed, resamples=resamples)
            analysis["invariance"][null] = asdict(test) | {"verdict": test.conclusion}
    if len(result.personas) > 2:
        left_out = statistics.leave_one_out_pss(accuracy)
        analysis["leave_one_out_pss"] = dict(zip(result.personas, map(_number, left_out), strict=True))
    if result.control_RN is not None:
        analysis["no_persona"] = _arm(result, "no_persona", result.control_RN, "without a persona")
        analysis["worst_minus_no_persona"] = asdict(
            statistics.worst_minus_control(correct, result.control_RN, seed=seed)
        )
    return analysis


def compare(first: Results, second: Results, *, seed: int) -> dict[str, Any]:
    """Two models on the problems and personas that both have."""
    personas, problems = in_common(first, second)
    pair: dict[str, Any] = {
        "first": first.label,
        "second": second.label,
        "personas": len(personas),
        "problems": len(problems),
        "refused": None,
    }
    if len(personas) < 2 or len(problems) < 2:
        return pair | {"refused": "fewer than two personas or problems in common"}
    if other_problems := _renumbered(first, second, problems):
        return pair | {"refused": other_problems}
    mine, other = (answers_to(result, personas, problems) for result in (first, second))
    pair["mean_difference"] = asdict(
        statistics.paired_interval(
            mine.mean(axis=(0, 1)), other.mean(axis=(0, 1)), "difference in accuracy, averaged over the personas"
        )
    )
    pair["worst_difference"] = asdict(
        statistics.paired_interval(
            statistics.cross_fitted_scores(mine, seed=seed),
            statistics.cross_fitted_scores(other, seed=seed),
            "difference in accuracy of the personas that each model's half of the problems chose as worst",
        )
    )
    if mine.any() and other.any():
        pair["swap_test"] = asdict(statistics.swap_test(mine, other, seed=seed))
    return pair


def in_common(first: Results, second: Results) -> tuple[list[str], list[str]]:
    """Personas and problems that both have, in the first one's order: folders are stored in an order of their own."""
    shared = set(second.problems)
    personas = [persona for persona in first.personas if persona in second.personas]
    return personas, [problem for problem in first.problems if problem in shared]


def _renumbered(first: Results, second: Results, problems: Sequence[str]) -> str:
    """What to say where the same ids stand for other problems; empty if the gold answers are the same."""
    golds = [dict(zip(result.problems, result.golds, strict=True)) for result in (first, second)]
    other = [problem for problem in problems if golds[0][problem] != golds[1][problem]]
    if not other:
        return ""
    same = sorted(golds[0][problem] for problem in problems) == sorted(golds[1][problem] for problem in problems)
    return (
        f"{len(other)} of {len(problems)} problems have another gold answer, first {other[0]} "
        f"({golds[0][other[0]][:20]} and {golds[1][other[0]][:20]}): "
        + ("the same problems in another order" if same else "other problems under the same numbers")
        + "; evaluate both on one file"
    )


def answers_to(result: Results, personas: Sequence[str], problems: Sequence[str]) -> NDArray[np.float64]:
    """Correctness (P, R, N) under these personas on these problems, in this order."""
    rows = [result.personas.index(persona) for persona in personas]
    place = {problem: column for column, problem in enumerate(result.problems)}
    return result.correct_PRN[rows][:, :, [place[problem] for problem in problems]]


def _arm(result: Results, arm: str, correct_RN: Any, named: str) -> dict[str, Any]:
    """One persona, or the control arm."""
    estimand = f"accuracy {named} on problems like these"
    return {
        "accuracy": float(correct_RN.mean()),
        "std_over_runs": float(correct_RN.mean(axis=1).std(ddof=1)) if len(correct_RN) > 1 else None,
        "interval": asdict(statistics.cluster_interval(correct_RN.mean(axis=0), estimand)),
        **_audited(result, arm),
    }


def _worst_and_best(result: Results, accuracy_P: NDArray[np.float64]) -> dict[str, Any]:
    places = {"worst": int(accuracy_P.argmin()), "best": int(accuracy_P.argmax())}
    return {end: {"persona": result.personas[row], "accuracy": float(accuracy_P[row])} for end, row in places.items()}


def _pss(correct: NDArray[np.float64], accuracy_P: NDArray[np.float64], *, seed: int) -> dict[str, Any]:
    return {
        "pss_ratio_of_means": _number(statistics.pss(accuracy_P)),
        "pss_mean_of_run_ratios": _number(statistics.mean_of_run_pss(correct)),
        "pss_of_runs": [_number(value) for value in statistics.pss(correct.mean(axis=2))],
        "pss_interval": asdict(statistics.pss_interval(correct, seed=seed)),
    }


def _strict(result: Results) -> dict[str, Any] | None:
    """Worst, best, mean and PSS if only answers with a strict mark count; ``None`` where marks are not recorded."""
    if result.marks is None:
        return None
    counts = [result.audit[persona] for persona in result.personas]
    strict = np.array([count["strict"] / count["samples"] for count in counts])
    lenient = np.array([(count["correct"] - count["strict"]) / count["samples"] for count in counts])
    return {
        **_worst_and_best(result, strict),
        "mean": float(strict.mean()),
        "pss_ratio_of_means": _number(statistics.pss(strict)),
        "parsers_share": float(lenient.mean()),
    }


def _audited(result: Results, arm: str) -> dict[str, Any]:
    """How much of an arm's accuracy is the answer parser's: rates, and accuracy among the parsed."""
    counts = result.audit[arm]
    rates = {name: counts[name] / counts["samples"] for name in ("no_answer", "cut", "timeout", "error")}
    parsed = counts["parsed_correct"] / counts["parsed"] if counts["parsed"] else None
    found = {**rates, "accuracy_among_parsed": parsed, "mean_tokens": _number(result.tokens[arm])}
    if result.marks is None:
        return found | {"strict_accuracy": None, "parsers_share": None, "marks": None}
    return found | {
        "strict_accuracy": counts["strict"] / counts["samples"],
        "parsers_share": (counts["correct"] - counts["strict"]) / counts["samples"],
        "marks": {mark: count / counts["samples"] for mark, count in sorted(result.marks[arm].items())},
    }


def _theory(correct: Any) -> list[dict[str, Any]]:
    """The closed form at several KL coefficients, as if this were the base model."""
    predictions = []
    for beta in BETAS:
        row: dict[str, Any] = {"beta": beta}
        for name, smoothed in (("smoothed", True), ("plug_in", False)):
            after = closed_form.predicted_accuracy(correct, beta, smoothed=smoothed)
            row[name] = {
                "mean": float(after.mean()),
                "worst": float(after.min()),
                "best": float(after.max()),
                "pss": _number(statistics.pss(after)),
            }
        predictions.append(row)
    return predictions


def _number(value: Any) -> float | None:
    """A float for JSON, which knows no NaN."""
    number = float(value)
    return None if np.isnan(number) else number


def _list(values: Any) -> list[float]:
    return [float(value) for value in values]
