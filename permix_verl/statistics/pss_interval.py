"""An interval for PSS that holds near 1, by inverting tests.

The estimand is the ratio of smallest to largest accuracy on the population of problems, for
these personas. Min and max of noisy accuracies lie too far apart, the more personas are tied
there, so the plain bootstrap sits below the truth: near 1 it never covers. Instead:

* *high* is the largest PSS at which a value as low as the measured one would still be seen
  in more than a share ``ALPHA_HIGH`` of draws. For each candidate the personas are placed in
  the measured pattern, stretched or shrunk until its PSS is the candidate, and the noise is the
  bootstrap's over problems. The pattern matters, because ties pull the measured PSS down: it
  is read off after an empirical-Bayes step that gathers personas which noise alone sets
  apart (Kiefer and Wolfowitz's mixture). Two strengths of it are tried, and where the pattern
  is hardly wider than noise also one with many ties, half of the personas at either end; the
  widest is taken.
  At candidate 1 all personas are alike, so *high* is 1 unless invariance itself is rejected.
* *low*, where the pattern is wide, is the smallest of the one-sided limits of all pairs' ratios:
  PSS is the smallest of those ratios, and a limit that holds for the pair that attains it holds
  for PSS. Where the pattern is narrower than ``BLURRED`` standard errors that is far too
  cautious, and *low* is the smallest PSS at which a value as high as the measured one would
  still be seen in more than a share ``ALPHA_LOW_BLURRED`` of draws, the personas placed in the
  measured pattern as it stands: noise has set them apart in it, and the fewer ties, the less PSS
  is pulled down. A measured value above the median of personas that are all alike counts as
  that median, as it is luck.

The error shares were set so that coverage of the 95 % interval lies between 92 % and 98 % in
simulations with known truth (tests/soak/test_calibration.py); other levels are not offered.
"""

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtri

from permix_verl.statistics.accuracy import Floats, as_correct, persona_accuracy, pss
from permix_verl.statistics.clustered import Interval, bootstrap_accuracy, cluster_covariance, refused_interval

ALPHA_HIGH = 0.035
ALPHA_HIGH_BLURRED = 0.07
"""For the pattern with many ties, which is seldom the true one."""
ALPHA_LOW = 0.025
ALPHA_LOW_BLURRED = 0.01
SHRINKING = (1.2, 1.6)
"""Noise of the empirical-Bayes step, in units of the measured noise."""
BLURRED = 5.0
"""A pattern narrower than so many standard errors cannot be told from one with more ties."""
MIN_INFORMATIVE = 150
"""Least number of problems that are neither always right nor always wrong."""
MIN_WORST_CORRECT = 20.0
"""Least number of problems' worth of right answers of the worst persona."""

ESTIMAND = "smallest over largest accuracy of these personas, on problems like these"


def pss_interval(correct_PRN: ArrayLike, *, seed: int, draws: int = 4000) -> Interval:
    """PSS as ratio of means, with a 95 % interval or the reason why there is none."""
    correct = as_correct(correct_PRN)
    accuracy = persona_accuracy(correct)
    estimate = float(pss(accuracy))
    reason = _why_not(correct)
    if reason:
        return refused_interval(ESTIMAND, estimate, 0.95, reason)
    noise_BP = bootstrap_accuracy(correct, draws, seed=seed) - accuracy
    covariance = cluster_covariance(correct)
    apart = _noise_between(covariance)
    patterns = [_gathered(accuracy, factor * apart) for factor in SHRINKING]
    high = max(_limit(accuracy, noise_BP, pattern, ALPHA_HIGH, upper=True) for pattern in patterns)
    if np.ptp(patterns[0]) < BLURRED * apart.mean():
        high = max(high, _limit(accuracy, noise_BP, _halves(accuracy), ALPHA_HIGH_BLURRED, upper=True))
        measured = accuracy if np.ptp(accuracy) > 1e-9 else accuracy + np.linspace(-1e-3, 1e-3, len(accuracy))
        low = _limit(accuracy, noise_BP, measured, ALPHA_LOW_BLURRED, upper=False)
    else:
        low = _lowest_of_pairs(accuracy, covariance)
    # Min and max of noise can pull so far that a limit passes the estimate; it is never left outside.
    return Interval(ESTIMAND, estimate, min(low, estimate), max(high, estimate), 0.95)


def _why_not(correct: Floats) -> str | None:
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


def _lowest_of_pairs(accuracy: Floats, covariance: Floats) -> float:
    logs = np.log(accuracy)
    relative = covariance / np.outer(accuracy, accuracy)
    own = np.diag(relative)
    error_PP = np.sqrt(np.maximum(own[:, None] + own[None, :] - 2 * relative, 0))
    return float(np.exp((logs[:, None] - logs[None, :] + ndtri(ALPHA_LOW) * error_PP).min()))


def _limit(accuracy: Floats, noise_BP: Floats, pattern: Floats, alpha: float, *, upper: bool) -> float:
    """The PSS nearest to 1 (upper) or to 0 at which a value as extreme as the measured one keeps a share above alpha.

    Args:
        accuracy, pattern: (P,).
            Of a lower limit the pattern must not be constant.
        noise_BP: bootstrap draws minus the measured accuracies.
        upper: "as extreme" is as low as the measured one, and the limit the largest such PSS.
    """
    measured = float(pss(accuracy))
    centre = float(pattern.mean())
    offset = pattern - centre
    spread = _spread(accuracy)

    def drawn(candidate: float) -> Floats:
        stretch = centre * (1 - candidate) / (candidate * offset.max() - offset.min())
        placed = centre + stretch * offset
        return pss(np.clip(placed + noise_BP * (_spread(placed) / spread), 0, 1).T)

    if not upper:
        # A value higher than alike personas score says no more than that they may be alike.
        measured = min(measured, float(np.median(drawn(1.0))))

    def kept(candidate: float) -> bool:
        drawn_B = drawn(candidate)
        return bool((drawn_B <= measured if upper else drawn_B >= measured).mean() > alpha)

    if upper and (np.ptp(offset) < 1e-12 or kept(1.0)):
        return 1.0
    low, high = 0.0, 1.0
    for _ in range(14):
        middle = (low + high) / 2
        low, high = (middle, high) if kept(middle) == upper else (low, middle)
    return high


def _spread(accuracy: Floats) -> Floats:
    """How noise grows with accuracy: as a binomial's."""
    kept = np.clip(accuracy, 0.005, 0.995)
    spread: Floats = np.sqrt(kept * (1 - kept))
    return spread


def _noise_between(covariance: Floats) -> Floats:
    """Standard error of each persona's accuracy against the others', shape (P,): what they share is no difference."""
    number = len(covariance)
    centring = np.eye(number) - 1 / number
    error: Floats = np.sqrt(np.maximum(np.diag(centring @ covariance @ centring) * number / (number - 1), 1e-12))
    return error


def _halves(accuracy: Floats) -> Floats:
    """The direction in which half of the personas lie at either end."""
    rank = np.argsort(np.argsort(accuracy, kind="stable"), kind="stable")
    halves: Floats = accuracy.mean() + np.where(rank < len(accuracy) // 2, -1e-3, 1e-3)
    return halves


def _gathered(accuracy: Floats, noise: Floats, points: int = 80, steps: int = 200) -> Floats:
    """Posterior means under the mixture that fits best (Kiefer and Wolfowitz 1956, by EM on a grid), shape (P,)."""
    grid = np.linspace(accuracy.min(), accuracy.max(), points)
    likelihood = np.exp(-0.5 * ((accuracy[:, None] - grid) / noise[:, None]) ** 2) + 1e-300
    weights = np.full(points, 1 / points)
    for _ in range(steps):
        posterior = likelihood * weights
        posterior /= posterior.sum(axis=1, keepdims=True)
        weights = posterior.mean(axis=0)
    means: Floats = posterior @ grid
    # Where all of them are gathered, any direction will do: the measured one.
    return means if np.ptp(means) > 1e-9 else accuracy
