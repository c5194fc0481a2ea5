"""Worst and best persona without selection bias, by cross-fitting.

The worst of 16 measured accuracies is a downward-biased estimate of that persona's accuracy,
because it was chosen for being low (the winner's curse). Here the persona is chosen on one half
of the problems and scored on the other half, both ways round, over several splits. The estimand
is the accuracy of the chosen persona, not the smallest accuracy: where personas are equal, it is
their common accuracy.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from permix_verl.errors import UserError
from permix_verl.statistics.accuracy import TIE_DIGITS, Floats, as_correct, best_of_k
from permix_verl.statistics.clustered import Interval, cluster_interval

SPLITS = 2
"""Splits for an interval. The errors of a split's two halves are correlated, so the standard error from a single split
is too small (coverage 0.92). Two splits compensate (0.94 to 0.97); with many splits it is too large (0.99)."""
CURVE_SPLITS = 20
"""Splits for the best-of-k curve."""


def cross_fitted_worst(
    correct_PRN: ArrayLike, *, seed: int, splits: int = SPLITS, level: float = 0.95, best: bool = False
) -> Interval:
    """Estimate the accuracy of the persona chosen as worst (or best) on half of the problems, on the other half.

    Raises:
        UserError: fewer than two problems or two splits.
    """
    if splits < 2:
        raise UserError(
            f"splits is {splits}, and the interval from a single split is too narrow", "set it to 2 or more"
        )
    scores_SN = cross_fitted_scores(correct_PRN, seed=seed, splits=splits, best=best)
    word = "best" if best else "worst"
    return cluster_interval(scores_SN, f"accuracy of the persona chosen as {word} on half of the problems", level)


def cross_fitted_scores(correct_PRN: ArrayLike, *, seed: int, splits: int = SPLITS, best: bool = False) -> Floats:
    """Return each problem's accuracy under the persona chosen on the half without that problem, shape (S, N)."""
    per_problem_PN = as_correct(correct_PRN).mean(axis=1)
    scores_SN = np.empty((splits, per_problem_PN.shape[1]))
    for half, (chosen, scored) in enumerate(cross_fitted_choices(correct_PRN, seed=seed, splits=splits, best=best)):
        scores_SN[half // 2, scored] = per_problem_PN[np.ix_(chosen, scored)].mean(axis=0)
    return scores_SN


def cross_fitted_choices(
    correct_PRN: ArrayLike, *, seed: int, splits: int = SPLITS, best: bool = False
) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Choose the worst (or best) persona on each half of each split.

    Returns:
        For each half, the indices of the chosen persona (of all tied ones) and of the other half's problems, on which
        it is scored.
    """
    per_problem_PN = as_correct(correct_PRN).mean(axis=1)
    choices = []
    for chosen_by, scored in _halves(per_problem_PN.shape[1], seed, splits):
        mean_P = np.round(per_problem_PN[:, chosen_by].mean(axis=1), TIE_DIGITS)
        choices.append((np.flatnonzero(mean_P == (mean_P.max() if best else mean_P.min())), scored))
    return choices


def cross_fitted_best_of_k(correct_PRN: ArrayLike, *, seed: int, splits: int = CURVE_SPLITS) -> Floats:
    """Return the expected accuracy of the best of k personas, chosen and scored on different halves, shape (P,)."""
    per_problem_PN = as_correct(correct_PRN).mean(axis=1)
    curves = [
        best_of_k(per_problem_PN[:, chosen_by].mean(axis=1), per_problem_PN[:, scored].mean(axis=1))
        for chosen_by, scored in _halves(per_problem_PN.shape[1], seed, splits)
    ]
    mean: Floats = np.mean(curves, axis=0)
    return mean


def _halves(number: int, seed: int, splits: int) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Split the problems at random: (chosen by, scored on) pairs, both ways round for each split."""
    if number < 2:
        raise UserError(f"{number} problem cannot be split in halves", "give at least two")
    pairs = []
    for split in range(splits):
        order = np.random.default_rng([seed, split]).permutation(number)
        first, second = order[: number // 2], order[number // 2 :]
        pairs += [(first, second), (second, first)]
    return pairs
