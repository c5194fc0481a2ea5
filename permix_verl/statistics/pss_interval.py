"""Confidence interval for PSS that holds near 1, by test inversion.

The estimand is the ratio of smallest to largest accuracy of these personas, on the population of
problems. Min and max of noisy accuracies lie too far apart, the more so the more personas are tied.
A plain bootstrap interval is therefore too low: near 1 it never covers.

*high* is the largest PSS that is not rejected at ``ALPHA_HIGH``: under it, a value at or below the
measured one has a higher probability than that.

1. An empirical-Bayes step (the mixture of Kiefer and Wolfowitz 1956) shrinks the measured
   accuracies, so that personas separated by noise alone coincide. The pattern matters, because
   ties lower the measured PSS. Both ``SHRINKAGE_FACTORS`` are tried. If the pattern is narrow,
   a pattern with many ties (half of the personas at either end) is tried as well.
2. For each candidate PSS the pattern is stretched until it has that PSS, and bootstrap noise over
   problems is added.
3. The largest limit over the patterns is taken. At candidate 1 all personas are equal, so *high*
   is 1 unless persona invariance itself is rejected.

*low* depends on the width of the shrunk pattern, in standard errors.

* Wide (``NARROW_WIDTH`` or more): the smallest one-sided limit over all pairs' accuracy ratios. PSS
  is the smallest of these ratios, so a limit that holds for the pair that attains it holds for PSS.
* Narrow, where that limit is far too low: the smallest PSS that is not rejected at
  ``ALPHA_LOW_NARROW``, for values at or above the measured one. The measured accuracies are the
  pattern: noise has separated them, and fewer ties lower PSS less. A measured PSS above the median
  for equal personas is replaced by that median, since it is chance.

The error levels were set so that the 95 % interval covers between 92 % and 98 % in simulations with
known truth (tests/soak/test_calibration.py). Other levels are not offered.
"""

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtri

from permix_verl.statistics.accuracy import Floats, as_correct, persona_accuracy, pss
from permix_verl.statistics.clustered import Interval, bootstrap_accuracy, cluster_covariance, refused_interval

ALPHA_HIGH = 0.035
ALPHA_HIGH_TIED = 0.07
"""Level for the pattern with many ties, which is rarely the true one."""
ALPHA_LOW = 0.025
ALPHA_LOW_NARROW = 0.01
SHRINKAGE_FACTORS = (1.2, 1.6)
"""Noise assumed by the empirical-Bayes step, in units of the measured noise."""
NARROW_WIDTH = 5.0
"""Width in standard errors below which a pattern cannot be distinguished from one with more ties."""
MIN_INFORMATIVE = 150
"""Fewest problems with both correct and wrong completions."""
MIN_WORST_CORRECT = 20.0
"""Minimum of the worst persona's accuracy times the number of problems."""

ESTIMAND = "smallest over largest accuracy of these personas, on problems like these"


def pss_interval(correct_PRN: ArrayLike, *, seed: int, resamples: int = 4000) -> Interval:
    """Estimate PSS as ratio of means, with a 95 % interval or the reason for refusing one.

    Args:
        correct_PRN: 0/1 correctness: P personas, R runs, N problems.
        resamples: bootstrap resamples of the problems.
    """
    correct = as_correct(correct_PRN)
    accuracy = persona_accuracy(correct)
    estimate = float(pss(accuracy))
    reason = pss_refusal(correct)
    if reason:
        return refused_interval(ESTIMAND, estimate, 0.95, reason)
    noise_BP = bootstrap_accuracy(correct, resamples, seed=seed) - accuracy
    covariance = cluster_covariance(correct)
    errors = _contrast_errors(covariance)
    patterns = [_shrunk(accuracy, factor * errors) for factor in SHRINKAGE_FACTORS]
    high = max(_limit(accuracy, noise_BP, pattern, ALPHA_HIGH, upper=True) for pattern in patterns)
    if np.ptp(patterns[0]) < NARROW_WIDTH * errors.mean():
        high = max(high, _limit(accuracy, noise_BP, _two_point_pattern(accuracy), ALPHA_HIGH_TIED, upper=True))
        measured = accuracy if np.ptp(accuracy) > 1e-9 else accuracy + np.linspace(-1e-3, 1e-3, len(accuracy))
        low = _limit(accuracy, noise_BP, measured, ALPHA_LOW_NARROW, upper=False)
    else:
        low = _lowest_pairwise_limit(accuracy, covariance)
    # Noise in min and max can push a limit past the estimate; the interval always contains the estimate.
    return Interval(ESTIMAND, estimate, min(low, estimate), max(high, estimate), 0.95)


def pss_refusal(correct: Floats) -> str | None:
    """Return the reason why there is no interval of PSS from correctness (P, R, N), or ``None``."""
    per_problem_N = correct.mean(axis=(0, 1))
    informative = int(((per_problem_N > 0) & (per_problem_N < 1)).sum())
    if informative < MIN_INFORMATIVE:
        return (
            f"{informative} problems are neither always right nor always wrong; at least {MIN_INFORMATIVE} are needed"
        )
    worst = float(correct.mean(axis=1).sum(axis=1).min())
    if worst < MIN_WORST_CORRECT:
        return f"the worst persona solves {worst:.1f} problems' worth; at least {MIN_WORST_CORRECT:g} are needed"
    return None


def _lowest_pairwise_limit(accuracy: Floats, covariance: Floats) -> float:
    logs = np.log(accuracy)
    relative = covariance / np.outer(accuracy, accuracy)
    own = np.diag(relative)
    error_PP = np.sqrt(np.maximum(own[:, None] + own[None, :] - 2 * relative, 0))
    return float(np.exp((logs[:, None] - logs[None, :] + ndtri(ALPHA_LOW) * error_PP).min()))


def _limit(accuracy: Floats, noise_BP: Floats, pattern: Floats, alpha: float, *, upper: bool) -> float:
    """Return the largest (upper) or smallest PSS that is not rejected at level alpha, by bisection.

    Args:
        accuracy: measured accuracies, shape (P,).
        noise_BP: bootstrap accuracies minus the measured ones, shape (B, P).
        pattern: accuracies to stretch, shape (P,); not constant for a lower limit.
        upper: test against values at or below the measured PSS; otherwise at or above it.
    """
    measured = float(pss(accuracy))
    centre = float(pattern.mean())
    offset = pattern - centre
    spread = _spread(accuracy)

    def resampled(candidate: float) -> Floats:
        stretch = centre * (1 - candidate) / (candidate * offset.max() - offset.min())
        shifted = centre + stretch * offset
        return pss(np.clip(shifted + noise_BP * (_spread(shifted) / spread), 0, 1).T)

    if not upper:
        # A PSS above the median for equal personas only says that they may be equal.
        measured = min(measured, float(np.median(resampled(1.0))))

    def plausible(candidate: float) -> bool:
        resampled_B = resampled(candidate)
        return bool((resampled_B <= measured if upper else resampled_B >= measured).mean() > alpha)

    if upper and (np.ptp(offset) < 1e-12 or plausible(1.0)):
        return 1.0
    low, high = 0.0, 1.0
    for _ in range(14):
        middle = (low + high) / 2
        low, high = (middle, high) if plausible(middle) == upper else (low, middle)
    return high


def _spread(accuracy: Floats) -> Floats:
    """Return the binomial standard deviation at these accuracies, to which noise is proportional."""
    clipped = np.clip(accuracy, 0.005, 0.995)
    spread: Floats = np.sqrt(clipped * (1 - clipped))
    return spread


def _contrast_errors(covariance: Floats) -> Floats:
    """Return each persona's standard error without the noise that all personas share, shape (P,)."""
    number = len(covariance)
    centring = np.eye(number) - 1 / number
    error: Floats = np.sqrt(np.maximum(np.diag(centring @ covariance @ centring) * number / (number - 1), 1e-12))
    return error


def _two_point_pattern(accuracy: Floats) -> Floats:
    """Return a pattern with half of the personas at either end."""
    rank = np.argsort(np.argsort(accuracy, kind="stable"), kind="stable")
    halves: Floats = accuracy.mean() + np.where(rank < len(accuracy) // 2, -1e-3, 1e-3)
    return halves


def _shrunk(accuracy: Floats, noise: Floats, points: int = 80, steps: int = 200) -> Floats:
    """Return posterior means under the maximum-likelihood mixture (Kiefer and Wolfowitz 1956; EM on a grid), (P,)."""
    grid = np.linspace(accuracy.min(), accuracy.max(), points)
    likelihood = np.exp(-0.5 * ((accuracy[:, None] - grid) / noise[:, None]) ** 2) + 1e-300
    weights = np.full(points, 1 / points)
    for _ in range(steps):
        posterior = likelihood * weights
        posterior /= posterior.sum(axis=1, keepdims=True)
        weights = posterior.mean(axis=0)
    means: Floats = posterior @ grid
    # If all means coincide, any pattern will do: take the measured one.
    return means if np.ptp(means) > 1e-9 else accuracy
