"""Estimates pooled over the training seeds of one method, with intervals over problems and training seeds.

A method is trained S times, with other seeds, and every model answers the same problems: a crossed design. The estimand
is the mean of a quantity (worst, best or mean accuracy, PSS) over training seeds like these, on problems like these.

The estimate is the mean over the S models. Its interval adds two half-widths in squares:

* *problems*: the models at hand, on other problems. One bootstrap of the problems serves all models, so that noise
  which they share stays shared and the rest averages out. Worst is the smallest of the personas' accuracies, PSS the
  smallest of their ratios, and the smallest of noisy values lies too low. So the two limits differ in kind. The lower
  one allows for the noise of the measured minimum (intersection-union, Berger 1982), the upper one for the largest
  noise among all values that may be the minimum: those within ``NEAR`` standard errors of it (intersection bounds,
  Chernozhukov, Lee and Rosen 2013; selection as Andrews and Soares 2010). For best the two change places. The middle of
  these limits is the centre of the interval. The bootstrap's noise is mirrored, so that skew lengthens the side that
  needs it, and its quantiles are stretched to a t distribution whose degrees of freedom come from the kurtosis of the
  problems' scores (:func:`~permix_verl.statistics.clustered.degrees_of_freedom`).
* *seeds*: t with S - 1 degrees of freedom, times the standard deviation of the models' estimates, over the root of S.
  It holds each model's own sampling noise too.

For unbiased normal estimates, the mean among them, the sum in squares covers at least as often as its parts, whatever
the ratio of the two variances (Banerjee 1960, Sankhya 22, 357; Ruben 2002, Sankhya A 64, 139). It covers if a
chi-squared variable with 1 degree of freedom is below a weighted mean of the parts' thresholds; its distribution
function is concave, and each part alone gives the level. For worst, best and PSS the same sum is checked by simulation.
Satterthwaite's degrees of freedom, the common alternative, are estimated from the same few values: coverage falls to
0.89 at two seeds that make up four fifths of the variance.

*Fixed*: the personas, the base model, the training data and the recipe.

*Assumptions*: training seeds are a random sample, and their effects on a quantity are roughly normal. Where trainings
fail with some probability, few seeds often show one kind only: with two seeds and failures in 30 to 50 % of trainings
the interval covers about 0.6.

*Bias*: noise makes worst and PSS too small and best too large. Seeds do not change that, problems and runs do. The
interval allows for it and is therefore not centred on the estimate; a difference has the difference of both biases.

*Small samples*: t is 12.7 for two seeds, 4.3 for three and 2.8 for five, so the interval from two is honest and of
little use. Below ``MIN_SEEDS`` it is refused. Noise that a model does not share with the others is in both parts, and
the limit towards the other personas is wide where several are near: coverage is mostly above the level
(docs/evaluation.md has simulated figures).

*Not chosen*: the crossed bootstrap, which resamples seeds and problems (Owen 2007, Annals of Applied Statistics 1,
386). With S seeds it takes the variance between them (S - 1) / S times too small and has no heavy tails for it, and
the smallest and largest of resampled accuracies are biased twice: a PSS near 1 it covers next to never
(tests/soak/test_pooled_coverage.py).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri, stdtrit

from permix_verl.errors import UserError
from permix_verl.statistics.accuracy import Floats
from permix_verl.statistics.clustered import MIN_DEGREES, Interval, degrees_of_freedom, refused_interval
from permix_verl.statistics.seed_resamples import ESTIMANDS, SeedResamples

LEVEL, TAIL = 0.95, 0.975
"""Level of all intervals, and the quantile of either limit."""


@dataclass(frozen=True, slots=True)
class PooledEstimate:
    """A quantity pooled over training seeds.

    Attributes:
        by_seed: the estimate of each model, length S.
        interval: the mean over the seeds, with its interval over problems and seeds.
        from_problems, from_seeds: the half-widths that are added in squares; ``None`` if refused. The second holds the
            models' own sampling noise too.
    """

    by_seed: tuple[float, ...]
    interval: Interval
    from_problems: float | None = None
    from_seeds: float | None = None


def pool_seeds(resampled: SeedResamples) -> PooledEstimate:
    """Pool a quantity over training seeds, with a 95 % interval or the reason for refusing one."""
    estimand = f"{ESTIMANDS[resampled.quantity]}, on problems like these, averaged over training seeds"
    estimate = float(np.mean(resampled.by_seed))
    if resampled.refused:
        return PooledEstimate(resampled.by_seed, refused_interval(estimand, estimate, LEVEL, resampled.refused))
    degrees = degrees_of_freedom(resampled.scores_N)
    if resampled.quantity != "pss":
        degrees = min(degrees, 2 * resampled.problems * min(estimate, 1 - estimate))
    if degrees < MIN_DEGREES:
        reason = "a few problems dominate the models' average"
        return PooledEstimate(resampled.by_seed, refused_interval(estimand, estimate, LEVEL, reason))
    stretch = _stretch(degrees, resampled.problems)
    centre, from_problems = _over_problems(estimate, stretch * resampled.above_B, stretch * resampled.below_B)
    from_seeds = _over_seeds(resampled.by_seed)
    half = float(np.hypot(from_problems, from_seeds))
    interval = Interval(estimand, estimate, max(centre - half, 0.0), min(centre + half, 1.0), LEVEL)
    return PooledEstimate(resampled.by_seed, interval, from_problems, from_seeds)


def pooled_difference(first: SeedResamples, second: SeedResamples) -> Interval:
    """Estimate the difference of a pooled quantity of two methods (first minus second) on the same problems.

    The problems are resampled together; the seeds of the two methods are independent samples, and never paired.

    Args:
        first, second: results of :func:`resample_seeds` with one seed.

    Returns:
        The interval, inside [-1, 1]; refused if that of either method is, or if the methods differ on too few problems.

    Raises:
        UserError: different quantities, problems or numbers of resamples.
    """
    shapes = [(resampled.quantity, resampled.problems, resampled.above_B.shape) for resampled in (first, second)]
    if shapes[0] != shapes[1]:
        raise UserError(f"resamples of {shapes[0]} against {shapes[1]}", "resample the same problems for both methods")
    estimand = f"difference in {ESTIMANDS[first.quantity]}, averaged over training seeds"
    estimate = float(np.mean(first.by_seed)) - float(np.mean(second.by_seed))
    for which, resampled in (("first", first), ("second", second)):
        if resampled.refused:
            return refused_interval(estimand, estimate, LEVEL, f"{which} method, {resampled.refused}")
    degrees = degrees_of_freedom(first.scores_N - second.scores_N)
    if degrees < MIN_DEGREES:
        return refused_interval(estimand, estimate, LEVEL, "too few problems on which the two differ")
    stretch = _stretch(degrees, first.problems)
    above_B, below_B = first.above_B + second.below_B, first.below_B + second.above_B
    centre, from_problems = _over_problems(estimate, stretch * above_B, stretch * below_B)
    parts = from_problems, _over_seeds(first.by_seed), _over_seeds(second.by_seed)
    half = float(np.sqrt(np.square(parts).sum()))
    return Interval(estimand, estimate, max(centre - half, -1.0), min(centre + half, 1.0), LEVEL)


def _over_problems(estimate: float, above_B: Floats, below_B: Floats) -> tuple[float, float]:
    """Return the centre and half-width of the interval over problems for the models at hand."""
    down, up = (float(np.quantile(noise_B, TAIL)) for noise_B in (above_B, below_B))
    return estimate + (up - down) / 2, (up + down) / 2


def _over_seeds(by_seed: Sequence[float]) -> float:
    """Return the half-width of the t interval over seeds."""
    number = len(by_seed)
    return float(stdtrit(number - 1, TAIL) * np.std(by_seed, ddof=1) / np.sqrt(number))


def _stretch(degrees: float, problems: int) -> float:
    """Return the factor from the bootstrap's quantiles to those of t; its variance is too small by (N - 1) / N."""
    return float(np.sqrt(problems / (problems - 1)) * stdtrit(degrees, TAIL) / ndtri(TAIL))
