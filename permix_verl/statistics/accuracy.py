"""What the paper prints: accuracy per persona, worst, best, mean, PSS.

PSS, the Persona Stability Score (the paper, Eq. 1), is worst accuracy over best accuracy,
1 where personas change nothing. The paper's figure is not one formula: its Tables 8 and 9
are ratios of means over runs (:func:`pss` of :func:`persona_accuracy`), while the MATH500
columns of Tables 2 and 3 lie below worst/best as printed, which the mean over runs of each run's
ratio (:func:`mean_of_run_pss`) would do; the GSM8K columns do not. Both carry noise downwards: min
and max of 16 noisy means lie apart even where all personas are the same.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from permix_verl.errors import UserError

Floats = NDArray[np.float64]
TIE_DIGITS = 9
"""Accuracies are compared to so many digits: equal shares, summed in another order, differ in the last."""


def as_correct(correct_PRN: ArrayLike) -> Floats:
    """The array as floats, checked.

    Raises:
        UserError: not (P, R, N) with two personas or more, empty, or outside of [0, 1].
    """
    correct = np.asarray(correct_PRN, dtype=np.float64)
    if correct.ndim != 3 or correct.shape[0] < 2 or 0 in correct.shape:
        raise UserError(
            f"correctness has the shape {correct.shape}; give (personas, runs, problems), at least two personas and "
            "one of the others"
        )
    if not ((correct >= 0) & (correct <= 1)).all():
        raise UserError("correctness holds values that are not between 0 and 1; give 0 for wrong and 1 for correct")
    return correct


def persona_accuracy(correct_PRN: ArrayLike) -> Floats:
    """Accuracy of each persona over all runs and problems, shape (P,)."""
    accuracy: Floats = as_correct(correct_PRN).mean(axis=(1, 2))
    return accuracy


def run_std(correct_PRN: ArrayLike) -> Floats:
    """Standard deviation of each persona's accuracy over runs (n - 1), shape (P,); NaN with one run."""
    correct = as_correct(correct_PRN)
    if correct.shape[1] < 2:
        return np.full(correct.shape[0], np.nan)
    std: Floats = correct.mean(axis=2).std(axis=1, ddof=1)
    return std


def pss(accuracy: ArrayLike) -> Floats:
    """Worst over best along the first axis (P, ...): the paper's Eq. 1. NaN where no persona solves anything.

    The PSS of "prompt sensitivity score" (ProSA) is another figure, and lower is better there.
    """
    accuracy = np.asarray(accuracy, dtype=np.float64)
    best = accuracy.max(axis=0)
    ratio: Floats = np.where(best > 0, accuracy.min(axis=0) / np.where(best > 0, best, 1), np.nan)
    return ratio


def mean_of_run_pss(correct_PRN: ArrayLike) -> float:
    """The mean over runs of each run's worst/best. NaN if some run has no correct answer at all."""
    return float(pss(as_correct(correct_PRN).mean(axis=2)).mean())


def leave_one_out_pss(accuracy_P: ArrayLike) -> Floats:
    """PSS without each persona in turn, shape (P,); at least three personas.

    A PSS that rises much without one persona speaks of that persona, not of personas.
    """
    accuracy = np.asarray(accuracy_P, dtype=np.float64)
    if accuracy.ndim != 1 or len(accuracy) < 3:
        raise UserError(f"accuracies have the shape {accuracy.shape}; leaving one out takes three personas or more")
    return np.array([float(pss(np.delete(accuracy, left_out))) for left_out in range(len(accuracy))])


def best_of_k(accuracy_P: ArrayLike, scored_P: ArrayLike | None = None) -> Floats:
    """Expected accuracy of the best of k personas tried, for k = 1 .. P, shape (P,): the paper's Figure 1c.

    The expectation is over all subsets of k personas, exactly; personas that tie are chosen alike often.

    Args:
        accuracy_P: what the best is chosen by.
        scored_P: what the chosen one is scored by; ``accuracy_P`` itself gives the apparent curve, which
            rises by chance alone; accuracies on other problems give an honest one
            (:func:`permix_verl.statistics.cross_fitted_best_of_k`).

    Raises:
        UserError: no accuracies, or scores of another shape.
    """
    chosen_by = np.asarray(accuracy_P, dtype=np.float64)
    scored = chosen_by if scored_P is None else np.asarray(scored_P, dtype=np.float64)
    if chosen_by.ndim != 1 or not len(chosen_by) or scored.shape != chosen_by.shape:
        raise UserError(f"accuracies of shapes {chosen_by.shape} and {scored.shape}; give one for each persona")
    chosen_by = np.round(chosen_by, TIE_DIGITS)
    _, tied_with, sizes = np.unique(chosen_by, return_inverse=True, return_counts=True)
    scored = (np.bincount(tied_with, weights=scored) / sizes)[tied_with]
    order = np.argsort(chosen_by, kind="stable")
    ranks, number = np.arange(1, len(chosen_by) + 1), len(chosen_by)
    curve = np.empty(number)
    # The persona of rank r is the best of a k-subset with probability C(r - 1, k - 1) / C(P, k).
    probability = np.full(number, 1 / number)
    for k in range(1, number + 1):
        curve[k - 1] = probability @ scored[order]
        if k < number:
            probability = probability * np.maximum(ranks - k, 0)  # C(r - 1, k) is C(r - 1, k - 1) (r - k) / k
            probability /= probability.sum()
    return curve
