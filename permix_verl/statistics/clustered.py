"""Intervals clustered by problem.

All answers to one problem share its difficulty, so the problem is what is independent:
each has one score, and the mean of scores has the standard error of a mean
(arXiv 2411.00640, section 2.2; inspect_ai's clustered error is the model).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit, logit, stdtrit

from permix_verl.errors import UserError
from permix_verl.statistics.accuracy import Floats, as_correct

MIN_PROBLEMS = 20
"""Below, no normal approximation is trusted."""
NEAR_CEILING, MIN_NEAR_CEILING = 0.8, 50
"""Above this accuracy more problems are needed: a few that nobody solves decide, and may be absent."""
MIN_DEGREES = 4.0
"""Fewer degrees of freedom, and a handful of problems carries the standard error."""


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate and its interval, or why there is none.

    Attributes:
        estimand: what it estimates, in words.
        low, high: ``None`` where ``refused`` says why.
        standard_error: ``None`` where the method has none.
    """

    estimand: str
    estimate: float
    low: float | None
    high: float | None
    level: float
    standard_error: float | None = None
    refused: str | None = None


def cluster_interval(scores_SN: ArrayLike, estimand: str, level: float = 0.95) -> Interval:
    """A mean accuracy, from one score in [0, 1] per problem, with an interval in logits, inside of (0, 1).

    Args:
        scores_SN: shape (N,), or (S, N) for S versions of the score (splits): the estimate is
            their mean, the standard error that of one of them.

    Raises:
        UserError: scores outside of [0, 1].
    """
    scores = np.atleast_2d(np.asarray(scores_SN, dtype=np.float64))
    if not ((scores >= 0) & (scores <= 1)).all():
        raise UserError("scores lie outside of [0, 1]; give each problem's share of right answers")
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
    """Degrees of freedom of a standard error: N - 1, or fewer where few problems carry it; 0 where none does.

    A variance estimated from heavy tails (kurtosis k) is as certain as one from 2 N / (k - 1) + 1
    normal values.
    """
    found = []
    for scores_N in np.atleast_2d(scores_SN):
        number = len(scores_N)
        deviation = scores_N - scores_N.mean()
        variance = float((deviation**2).mean())
        if variance < 1e-20:  # rounding
            return 0.0
        kurtosis = float((deviation**4).mean()) / variance**2
        found.append(min(number - 1, 2 * number / (kurtosis - 1)) if kurtosis > 1 else number - 1)
    return float(np.mean(found))


def mean_interval(correct_PRN: ArrayLike, level: float = 0.95) -> Interval:
    """Accuracy averaged over these personas, on problems like these."""
    return cluster_interval(
        as_correct(correct_PRN).mean(axis=(0, 1)), "accuracy on problems like these, averaged over the personas", level
    )


def cluster_covariance(correct_PRN: ArrayLike) -> Floats:
    """Covariance of the persona accuracies over draws of the problems (and of the runs), shape (P, P)."""
    per_problem_PN = as_correct(correct_PRN).mean(axis=1)
    number = per_problem_PN.shape[1]
    if number < 2:
        raise UserError(f"{number} problem; a covariance takes two or more")
    covariance: Floats = np.cov(per_problem_PN) / number
    return covariance


def bootstrap_accuracy(correct_PRN: ArrayLike, draws: int = 10_000, *, seed: int) -> Floats:
    """Persona accuracies on problems drawn with replacement, shape (B, P): all answers to a problem move together."""
    per_problem_PN = as_correct(correct_PRN).mean(axis=1)
    number = per_problem_PN.shape[1]
    generator = np.random.default_rng(seed)
    result = np.empty((draws, per_problem_PN.shape[0]))
    chunk = max(1, 2_000_000 // number)
    for start in range(0, draws, chunk):
        size = min(chunk, draws - start)
        drawn = generator.integers(0, number, (size, number), dtype=np.int32)
        # How often each problem was drawn: one count over (draw, problem) pairs.
        drawn += np.arange(size, dtype=np.int32)[:, None] * number
        counts_BN = np.bincount(drawn.ravel(), minlength=size * number).reshape(size, number)
        result[start : start + size] = counts_BN @ per_problem_PN.T / number
    return result


def refused_interval(estimand: str, estimate: float, level: float, reason: str) -> Interval:
    """An estimate without an interval, and why."""
    return Interval(estimand, estimate, None, None, level, refused=reason)
