"""Tests of the paper's claims (arXiv 2604.08986) on trained models: worst accuracy, PSS, mean accuracy and voice.

A claim states that one method exceeds another in a quantity. A method is trained with several seeds; the base is a
single model. Two sources of chance are separated:

* *problems*: is the difference real for the trained models, on problems like these? A paired t test clustered by
  problem for each seed. Worst and PSS are cross-fitted (``permix_verl.statistics``): the personas are selected on one
  half of the problems and scored on the other, which removes selection bias. "Worst" is thus the accuracy of the
  persona selected as worst; if several are nearly as bad, it exceeds the minimum. The claim's p-value is the maximum
  over the seeds: the claim holds for each of them.
* *seeds*: would the difference hold with other seeds, on these problems and from this base? A t interval over the
  seeds' differences, from three seeds on.

P-values are two-sided and Holm-corrected over all claims tested together.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from scipy.special import stdtr, stdtrit

from permix_verl.errors import UserError
from permix_verl.statistics import cross_fitted_scores
from permix_verl.statistics.accuracy import Floats, as_correct
from permix_verl.statistics.clustered import MIN_PROBLEMS, degrees_of_freedom

Quantity = Literal["worst", "mean", "pss", "voice"]
LEVEL = 0.05
"""Significance level after correction."""
MIN_SEEDS = 3
"""Minimum number of seeds for an interval over seeds."""
BASE = "base"
"""The method with a single, untrained model: it has no seeds."""
SPLITS, INFLATION = 5, 1.25
"""Splits of the cross-fit, and inflation of its standard error. The selected persona varies between resamples, and
averaging over splits does not remove that variance: with evenly spread personas a split's standard error is too small
by a factor of up to 1.24 (identical models, 16 personas, 2 runs, 200 problems, seven patterns). With 1.25 at most 5 %
of such pairs differ at 5 %, and 1 % at 1 %."""

CLAIMS: tuple[tuple[Quantity, str, str], ...] = (
    ("worst", "RLVR", "base"),
    ("worst", "PerMix-RLVR", "RLVR"),
    ("pss", "RLVR", "base"),
    ("pss", "PerMix-RLVR", "RLVR"),
    ("voice", "base", "RLVR"),
    ("voice", "PerMix-RLVR", "RLVR"),
)
"""The paper's claims about RL: (quantity, method with the larger value, the other)."""

BASELINE_CLAIMS: tuple[tuple[Quantity, str, str], ...] = (
    # Section 4.2.2, on supervised fine-tuning: it costs accuracy; persona-independent targets raise PSS, styled targets
    # lower it; PerMix-RLVR exceeds all of them, in voice too.
    ("mean", "base", "SFT"),
    ("mean", "base", "PerMix-SFT"),
    ("pss", "PerMix-SFT", "base"),
    ("pss", "PerMix-SFT", "PerMix-SFT (styled)"),
    ("worst", "PerMix-RLVR", "PerMix-SFT"),
    ("worst", "PerMix-RLVR", "PerMix-SFT (styled)"),
    ("mean", "PerMix-RLVR", "PerMix-SFT"),
    ("mean", "PerMix-RLVR", "PerMix-SFT (styled)"),
    ("voice", "PerMix-RLVR", "PerMix-SFT (styled)"),
    # Sections 1 and 4.2.3: SFT and distillation are more sensitive than RLVR; distillation is below PerMix-RLVR in
    # worst accuracy and in voice.
    ("pss", "RLVR", "SFT"),
    ("pss", "RLVR", "SeqKD"),
    ("worst", "PerMix-RLVR", "SeqKD"),
    ("worst", "PerMix-RLVR", "SeqKD (persona)"),
    ("voice", "PerMix-RLVR", "SeqKD"),
    ("voice", "PerMix-RLVR", "SeqKD (persona)"),
)
"""The paper's claims about its baselines."""


@dataclass(frozen=True)
class ModelScores:
    """Correctness and voice of one model on one task: P personas, R runs, N problems, ordered alike for all models."""

    correct_PRN: Floats
    voice_PRN: Floats


@dataclass(frozen=True)
class ClaimResult:
    """Result of testing one claim.

    Attributes:
        differences: ``more`` minus ``other``, by seed.
        p_value: two-sided p over problems, the maximum over the seeds; 1 if the seeds disagree in sign.
        holm: Holm-corrected p.
        over_seeds: 95 % interval of the mean difference, or ``None`` with fewer than three seeds.
        seen: "seen", "contrary" or "not seen", at 5 % after correction.
    """

    task: str
    quantity: Quantity
    more: str
    other: str
    differences: tuple[float, ...]
    p_value: float
    holm: float
    over_seeds: tuple[float, float] | None
    seen: Literal["seen", "contrary", "not seen"]


def check_claims(
    tasks: Mapping[str, Mapping[str, Sequence[ModelScores]]],
    claims: Sequence[tuple[Quantity, str, str]] = CLAIMS,
    *,
    seed: int = 0,
) -> list[ClaimResult]:
    """Test all claims on all tasks, with one Holm correction.

    Args:
        tasks: task -> method -> models, one for each seed, in the order of the seeds; a method with one model is
            compared with every model of the other.
        seed: seed of the cross-fit's splits, the same for all models.

    Raises:
        UserError: an unknown method, unpaired seeds, too few problems, or different problems.
    """
    results = [_test(task, methods, claim, seed) for task, methods in tasks.items() for claim in claims]
    by_p_value = sorted(range(len(results)), key=lambda number: results[number].p_value)
    largest = 0.0
    for rank, number in enumerate(by_p_value):
        largest = max(largest, min(1.0, (len(results) - rank) * results[number].p_value))
        mean = float(np.mean(results[number].differences))
        seen: Literal["seen", "contrary", "not seen"] = "not seen"
        if largest <= LEVEL:
            seen = "seen" if mean > 0 else "contrary"
        results[number] = replace(results[number], holm=largest, seen=seen)
    return results


def _test(
    task: str, methods: Mapping[str, Sequence[ModelScores]], claim: tuple[Quantity, str, str], seed: int
) -> ClaimResult:
    quantity, more, other = claim
    for method in (more, other):
        if not methods.get(method):
            raise UserError(f"task {task}: no model of method {method!r}", f"known: {', '.join(methods)}")
    first, second = methods[more], methods[other]
    seeds = max(len(first), len(second))
    if len({len(first), len(second)} - {1}) > 1:
        raise UserError(
            f"task {task}: {len(first)} models of {more} and {len(second)} of {other} do not pair",
            "give both the same number of seeds, or one of them a single model",
        )
    tested = [
        _paired(first[number % len(first)], second[number % len(second)], quantity, seed, f"task {task}")
        for number in range(seeds)
    ]
    differences = tuple(difference for difference, _ in tested)
    one_sign = len({np.sign(difference) for difference in differences}) == 1
    return ClaimResult(
        task=task,
        quantity=quantity,
        more=more,
        other=other,
        differences=differences,
        p_value=max(p_value for _, p_value in tested) if one_sign else 1.0,
        holm=1.0,
        over_seeds=None
        if any(method != BASE and len(methods[method]) == 1 for method in (more, other))
        else _over_seeds(differences),
        seen="not seen",
    )


def _paired(first: ModelScores, second: ModelScores, quantity: Quantity, seed: int, where: str) -> tuple[float, float]:
    """Return the difference and its two-sided p-value, clustered by problem."""
    shapes = [scores.correct_PRN.shape[::2] for scores in (first, second)]
    if shapes[0] != shapes[1] or shapes[0][1] < MIN_PROBLEMS:
        raise UserError(
            f"{where}: {shapes[0]} personas and problems against {shapes[1]}",
            f"give both models the same, with at least {MIN_PROBLEMS} problems",
        )
    (value, effect_SN), (other, other_SN) = (influence(scores, quantity, seed) for scores in (first, second))
    difference_SN = effect_SN - other_SN
    degrees = degrees_of_freedom(difference_SN)
    if degrees == 0:
        # No variance over problems: p is 1 for no difference, else that of a sign test in which all problems agree.
        return value - other, 1.0 if abs(value - other) < 1e-12 else 2 * 0.5 ** difference_SN.shape[1]
    error = float(np.sqrt(difference_SN.var(axis=1, ddof=1).mean() / difference_SN.shape[1]))
    if quantity in ("worst", "pss"):
        error *= INFLATION
    return value - other, float(2 * stdtr(degrees, -abs(value - other) / error))


def influence(scores: ModelScores, quantity: Quantity, seed: int) -> tuple[float, Floats]:
    """Return a quantity and each problem's influence on it, shape (S, N) for S splits.

    The standard error of the influences' mean is that of the quantity. PSS is a ratio of two means, worst and best; by
    the delta method a problem moves it by (worst - PSS best) / mean best.

    Raises:
        UserError: PSS of a model without a correct answer.
    """
    if quantity in ("voice", "mean"):
        values_PRN = scores.voice_PRN if quantity == "voice" else scores.correct_PRN
        value_N = as_correct(values_PRN).mean(axis=(0, 1))
        return float(value_N.mean()), value_N[None]
    worst_SN = cross_fitted_scores(scores.correct_PRN, seed=seed, splits=SPLITS)
    if quantity == "worst":
        return float(worst_SN.mean()), worst_SN
    best_SN = cross_fitted_scores(scores.correct_PRN, seed=seed, splits=SPLITS, best=True)
    best = float(best_SN.mean())
    if best == 0:
        raise UserError(
            "a model has no correct answer, so its PSS is undefined", "leave it out, or evaluate more problems"
        )
    pss = float(worst_SN.mean()) / best
    return pss, (worst_SN - pss * best_SN) / best


def _over_seeds(differences: Sequence[float]) -> tuple[float, float] | None:
    number = len(differences)
    if number < MIN_SEEDS:
        return None
    mean, error = float(np.mean(differences)), float(np.std(differences, ddof=1)) / np.sqrt(number)
    half = float(stdtrit(number - 1, 0.975)) * error
    return float(mean - half), float(mean + half)
