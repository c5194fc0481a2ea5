"""Confidence intervals clustered by problem.

All completions of one problem share its difficulty, so problems are the independent units. Each
problem has one score, and the mean score has the standard error of a mean (arXiv 2411.00640,
section 2.2; as inspect_ai's clustered standard error).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit, logit, stdtrit

from permix_verl.errors import UserError
from permix_verl.statistics.accuracy import Floats, as_correct

MIN_PROBLEMS = 20
"""Fewest problems for which the t approximation is used."""
NEAR_CEILING, MIN_NEAR_CEILING = 0.8, 50
"""Above this accuracy more problems are needed: the few unsolved ones decide, and a small sample may have none."""
MIN_DEGREES = 4.0
"""Fewest degrees of freedom: below this, a few problems dominate the standard error."""


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate with its confidence interval, or the reason for refusing one.

    Attributes:
        estimand: the estimated quantity, in words.
        low, high: the limits; ``None`` if refused.
        level: the nominal coverage, such as 0.95.
        standard_error: ``None`` if refused, or if the method computes none.
        refused: the reason for refusal; ``None`` if there is an interval.
    """

    estimand: str
    estimate: float
    low: float | None
    high: float | None
    level: float
    standard_error: float | None = None
    refused: str | None = None


def cluster_interval(scores_SN: ArrayLike, estimand: str, level: float = 0.95) -> Interval:
    """Compute a mean accuracy and its interval, on the logit scale and thus inside (0, 1).

    Args:
        scores_SN: one score in [0, 1] per problem, shape (N,), or (S, N) for S versions of the scores (splits).
            The estimate is the mean over versions; the standard error is that of one version.

    Raises:
        UserError: scores outside [0, 1].
    """
    scores = np.atleast_2d(np.asarray(scores_SN, dtype=np.float64))
    if not ((scores >= 0) & (scores <= 1)).all():
        raise UserError("scores lie outside [0, 1]", "give each problem's fraction of correct completions")
    estimate, number = float(scores.mean()), scores.shape[1]
    least = MIN_NEAR_CEILING if estimate > NEAR_CEILING else MIN_PROBLEMS
    if number < least:
        at = f" at an accuracy above {NEAR_CEILING:g}" if least > MIN_PROBLEMS else ""
        return refused_interval(estimand, estimate, level, f"{number} problems; at least {least} are needed{at}")
    room = float(min(scores.mean(), 1 - scores.mean())) * number
    degrees = min(degrees_of_freedom(scores), 2 * room)
    if degrees == 0:
        return refused_interval(estimand, estimate, level, "all problems score the same")
    if degrees < MIN_DEGREES:
        side = "right" if estimate < 0.5 else "wrong"
        return refused_interval(estimand, estimate, level, f"too few {side} answers, on too few problems")
    error = float(np.sqrt(scores.var(axis=1, ddof=1).mean() / number))
    half = stdtrit(degrees, 0.5 + level / 2) * error / (estimate * (1 - estimate))
    low, high = (float(expit(logit(estimate) + side * half)) for side in (-1, 1))
    return Interval(estimand, estimate, low, high, level, error)


def degrees_of_freedom(scores_SN: Floats) -> float:
    """Return the degrees of freedom of a standard error: N - 1, or fewer if few problems dominate it; 0 if it is 0.

    A variance estimated from N values of kurtosis k is as certain as one from 2 N / (k - 1) + 1
    normal values.
    """
    degrees = []
    for scores_N in np.atleast_2d(scores_SN):
        number = len(scores_N)
        deviation = scores_N - scores_N.mean()
        variance = float((deviation**2).mean())
        if variance < 1e-20:  # zero but for rounding
            return 0.0
        kurtosis = float((deviation**4).mean()) / variance**2
        degrees.append(min(number - 1, 2 * number / (kurtosis - 1)) if kurtosis > 1 else number - 1)
    return float(np.mean(degrees))


def mean_interval(correct_PRN: ArrayLike, level: float = 0.95) -> Interval:
    """Estimate the accuracy averaged over these personas, with an interval over problems."""
    return cluster_interval(
        as_correct(correct_PRN).mean(axis=(0, 1)), "accuracy on problems like these, averaged over the personas", level
    )


def cluster_covariance(correct_PRN: ArrayLike) -> Floats:
    """Estimate the sampling covariance of the persona accuracies over problems and runs, shape (P, P).

    Raises:
        UserError: fewer than two problems.
    """
    per_problem_PN = as_correct(correct_PRN).mean(axis=1)
    number = per_problem_PN.shape[1]
    if number < 2:
        raise UserError(f"{number} problem", "a covariance needs at least two")
    covariance: Floats = np.cov(per_problem_PN) / number
    return covariance


def bootstrap_accuracy(correct_PRN: ArrayLike, resamples: int = 10_000, *, seed: int) -> Floats:
    """Compute persona accuracies on problems resampled with replacement, shape (B, P).

    All completions of a problem are resampled together.
    """
    per_problem_PN = as_correct(correct_PRN).mean(axis=1)
    number = per_problem_PN.shape[1]
    generator = np.random.default_rng(seed)
    result = np.empty((resamples, per_problem_PN.shape[0]))
    chunk = max(1, 2_000_000 // number)
    for start in range(0, resamples, chunk):
        size = min(chunk, resamples - start)
        chosen = generator.integers(0, number, (size, number), dtype=np.int32)
        # Count how often each problem was chosen, with one bincount over (resample, problem) pairs.
        chosen += np.arange(size, dtype=np.int32)[:, None] * number
        counts_BN = np.bincount(chosen.ravel(), minlength=size * number).reshape(size, number)
        result[start : start + size] = counts_BN @ per_problem_PN.T / number
    return result


def refused_interval(estimand: str, estimate: float, level: float, reason: str) -> Interval:
    """Return an estimate without an interval, with the reason for refusal."""
    return Interval(estimand, estimate, None, None, level, refused=reason)
