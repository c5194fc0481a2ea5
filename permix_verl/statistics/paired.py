"""Paired comparison of two models on the same problems.

Differences are taken problem by problem, which removes the problems' difficulty from the
noise (arXiv 2411.00640, section 4). For statistics that are not means over problems, the swap
test exchanges the two models' completions on whole problems; its null is that the two models
are identical. It is no test of equal PSS: PSS depends on accuracy too (min and max of noisier
accuracies lie further apart), so a difference in accuracy alone may give a small p-value.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import stdtrit

from permix_verl.errors import UserError
from permix_verl.statistics.accuracy import Floats, as_correct, pss
from permix_verl.statistics.clustered import MIN_DEGREES, MIN_PROBLEMS, Interval, degrees_of_freedom, refused_interval


@dataclass(frozen=True, slots=True)
class SwapTest:
    """Differences (first model minus second) and their two-sided p-values.

    The null hypothesis: on every problem, the two models' completions are exchangeable.

    Attributes:
        pss_difference: difference of PSS (ratio of means).
        worst_difference: difference of the worst persona's accuracy.
        mean_difference: difference of the mean accuracy.
        draws: number of random exchanges (the key in report.json).
    """

    pss_difference: float
    pss_p_value: float
    worst_difference: float
    worst_p_value: float
    mean_difference: float
    mean_p_value: float
    draws: int


def paired_interval(scores_SN: ArrayLike, other_SN: ArrayLike, estimand: str, level: float = 0.95) -> Interval:
    """Estimate the mean difference of two scores per problem (first minus second), with a t interval over problems.

    Args:
        scores_SN, other_SN: shape (N,), or (S, N) for S versions of the scores; see
            :func:`permix_verl.statistics.cluster_interval`.

    Raises:
        UserError: different numbers of problems, or of versions.
    """
    scores, other = (np.atleast_2d(np.asarray(x, dtype=np.float64)) for x in (scores_SN, other_SN))
    if scores.shape[1] != other.shape[1] or (len(scores) != len(other) and 1 not in (len(scores), len(other))):
        raise UserError(
            f"scores of {scores.shape[1]} problems against {other.shape[1]}, {len(scores)} and {len(other)} versions",
            "give scores of the same problems",
        )
    difference = scores - other
    estimate, number = float(difference.mean()), difference.shape[1]
    if number < MIN_PROBLEMS:
        return refused_interval(estimand, estimate, level, f"{number} problems; at least {MIN_PROBLEMS} are needed")
    degrees = degrees_of_freedom(difference)
    if degrees < MIN_DEGREES:
        return refused_interval(estimand, estimate, level, "too few problems on which the two differ")
    error = float(np.sqrt(difference.var(axis=1, ddof=1).mean() / number))
    half = float(stdtrit(degrees, 0.5 + level / 2)) * error
    return Interval(estimand, estimate, max(estimate - half, -1.0), min(estimate + half, 1.0), level, error)


def swap_test(correct_PRN: ArrayLike, other_PRN: ArrayLike, *, seed: int, resamples: int = 10_000) -> SwapTest:
    """Test two models by exchanging their completions on whole problems, at random.

    Surplus runs of one model are dropped: with fewer runs, min and max alone would lie further apart.

    Args:
        correct_PRN, other_PRN: 0/1 correctness of the two models, same personas and problems.

    Raises:
        UserError: different personas or problems, or a model without a correct completion.
    """
    mine, other = as_correct(correct_PRN), as_correct(other_PRN)
    runs = min(mine.shape[1], other.shape[1])
    mine_PN, other_PN = mine[:, :runs].mean(axis=1), other[:, :runs].mean(axis=1)
    if mine_PN.shape != other_PN.shape:
        raise UserError(
            f"{mine_PN.shape} personas and problems against {other_PN.shape}", "give the same ones for both models"
        )
    number = mine_PN.shape[1]
    middle_P = (mine_PN + other_PN).mean(axis=1) / 2
    signs_BN = np.random.default_rng(seed).integers(0, 2, (resamples, number), dtype=np.int8) * 2 - 1
    half_BP = signs_BN.astype(np.float32) @ ((mine_PN - other_PN) / 2).T.astype(np.float32) / number
    measured = _statistics(mine_PN.mean(axis=1), other_PN.mean(axis=1))
    if np.isnan(measured).any():
        raise UserError(
            "one of the two models has no correct completion, so PSS is undefined",
            "give models that solve some problem",
        )
    swapped_3B = _statistics((middle_P + half_BP).T, (middle_P - half_BP).T)
    p_values = [
        (1 + int((np.abs(swapped) >= abs(value) - 1e-6).sum())) / (resamples + 1)
        for swapped, value in zip(swapped_3B, measured, strict=True)
    ]
    pss_difference, worst, mean = (float(value) for value in measured)
    return SwapTest(pss_difference, p_values[0], worst, p_values[1], mean, p_values[2], resamples)


def _statistics(first: Floats, second: Floats) -> Floats:
    """Return the differences of PSS, worst and mean (first minus second) of accuracies (P, ...)."""
    return np.array(
        [pss(first) - pss(second), first.min(axis=0) - second.min(axis=0), first.mean(axis=0) - second.mean(axis=0)]
    )
