"""Point estimates of the paper (arXiv 2604.08986): accuracy per persona, worst, best, mean, PSS.

PSS, the Persona Stability Score (Eq. 1), is worst accuracy over best accuracy; it is 1 where
personas change nothing. The paper's tables do not share one formula. Tables 8 and 9 are ratios
of means over runs (:func:`pss` of :func:`persona_accuracy`). The MATH500 columns of Tables 2
and 3 lie below the printed worst/best, as the mean of per-run ratios (:func:`mean_of_run_pss`)
would; the GSM8K columns do not. Noise biases both downwards: min and max of 16 noisy means
differ even where all personas are equal.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from permix_verl.errors import UserError

Floats = NDArray[np.float64]
TIE_DIGITS = 9
"""Digits to which accuracies are compared: equal fractions summed in another order differ in the last one."""


def as_correct(correct_PRN: ArrayLike) -> Floats:
    """Convert correctness to a checked float array of shape (P, R, N).

    Raises:
        UserError: the shape is not (P, R, N) with P of 2 or more, the array is empty, or values lie outside [0, 1].
    """
    correct = np.asarray(correct_PRN, dtype=np.float64)
    if correct.ndim != 3 or correct.shape[0] < 2 or 0 in correct.shape:
        raise UserError(
            f"correctness has the shape {correct.shape}",
            "give (personas, runs, problems), with at least two personas, one run and one problem",
        )
    if not ((correct >= 0) & (correct <= 1)).all():
        raise UserError("correctness has values outside [0, 1]", "give 0 for wrong and 1 for correct")
    return correct


def persona_accuracy(correct_PRN: ArrayLike) -> Floats:
    """Return each persona's accuracy over all runs and problems, shape (P,)."""
    accuracy: Floats = as_correct(correct_PRN).mean(axis=(1, 2))
    return accuracy


def run_std(correct_PRN: ArrayLike) -> Floats:
    """Return the standard deviation of each persona's accuracy over runs (ddof 1), shape (P,); NaN with one run."""
    correct = as_correct(correct_PRN)
    if correct.shape[1] < 2:
        return np.full(correct.shape[0], np.nan)
    std: Floats = correct.mean(axis=2).std(axis=1, ddof=1)
    return std


def pss(accuracy: ArrayLike) -> Floats:
    """Return worst over best along the first axis of (P, ...), Eq. 1 of arXiv 2604.08986; NaN where best is 0.

    ProSA's "prompt sensitivity score", also PSS, is another metric: there, lower is better.
    """
    accuracy = np.asarray(accuracy, dtype=np.float64)
    best = accuracy.max(axis=0)
    ratio: Floats = np.where(best > 0, accuracy.min(axis=0) / np.where(best > 0, best, 1), np.nan)
    return ratio


def mean_of_run_pss(correct_PRN: ArrayLike) -> float:
    """Return the mean over runs of each run's worst/best; NaN if a run has no correct completion."""
    return float(pss(as_correct(correct_PRN).mean(axis=2)).mean())


def leave_one_out_pss(accuracy_P: ArrayLike) -> Floats:
    """Return PSS without each persona in turn, shape (P,).

    If PSS rises sharply without one persona, that persona alone causes the instability.

    Raises:
        UserError: fewer than three personas.
    """
    accuracy = np.asarray(accuracy_P, dtype=np.float64)
    if accuracy.ndim != 1 or len(accuracy) < 3:
        raise UserError(
            f"accuracies have the shape {accuracy.shape}", "leave-one-out PSS needs at least three personas"
        )
    return np.array([float(pss(np.delete(accuracy, left_out))) for left_out in range(len(accuracy))])


def best_of_k(accuracy_P: ArrayLike, scored_P: ArrayLike | None = None) -> Floats:
    """Return the expected accuracy of the best of k personas for k = 1 .. P, shape (P,); the paper's Figure 1c.

    The expectation over all subsets of k personas is exact; tied personas are equally likely to be chosen.

    Args:
        accuracy_P: accuracies by which the best persona is chosen.
        scored_P: accuracies by which the chosen persona is scored. The default, ``accuracy_P``, gives the apparent
            curve, which rises by chance alone. Accuracies on other problems give an unbiased one
            (:func:`permix_verl.statistics.cross_fitted_best_of_k`).

    Raises:
        UserError: ``accuracy_P`` is empty, or ``scored_P`` has another shape.
    """
    chosen_by = np.asarray(accuracy_P, dtype=np.float64)
    scored = chosen_by if scored_P is None else np.asarray(scored_P, dtype=np.float64)
    if chosen_by.ndim != 1 or not len(chosen_by) or scored.shape != chosen_by.shape:
        raise UserError(
            f"accuracies of shapes {chosen_by.shape} and {scored.shape}", "give two vectors with one value per persona"
        )
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
