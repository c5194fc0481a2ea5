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
  these limits is the centre of the interval.
* *seeds*: t with S - 1 degrees of freedom, times the standard deviation of the models' estimates, over the root of S.

The sum in squares covers at least as often as its parts, whatever the ratio of the two variances (Banerjee 1960,
Sankhya 22, 357; Ruben 2002, Sankhya A 64, 139). It covers if a chi-squared variable with 1 degree of freedom is below
a weighted mean of the parts' thresholds; its distribution function is concave, and each part alone gives the level.
Satterthwaite's degrees of freedom, the common alternative, are estimated from the same few values: coverage falls to
0.89 at two seeds that make up four fifths of the variance.

*Assumptions*: training seeds are a random sample, and their effects on a quantity are roughly normal. A rare failed
training that no seed shows is not in the interval.

*Small samples*: t is 12.7 for two seeds, 4.3 for three and 2.8 for five, so the interval from two is honest and of
little use. Below ``MIN_SEEDS`` it is refused. Noise that a model does not share with the others is in both parts, and
the limit towards the other personas is wide where several are near: coverage is mostly above the level
(docs/evaluation.md has simulated figures).

*Not chosen*: the crossed bootstrap, which resamples seeds and problems (Owen 2007, Annals of Applied Statistics 1,
386). With S seeds it takes the variance between them (S - 1) / S times too small and has no heavy tails for it, and
the smallest and largest of resampled accuracies are biased twice: a PSS near 1 it covers next to never
(tests/soak/test_pooled_coverage.py).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtri, stdtrit

from permix_verl.errors import UserError
from permix_verl.statistics.accuracy import Floats, as_correct, pss
from permix_verl.statistics.clustered import Interval, bootstrap_accuracy, cluster_interval, refused_interval
from permix_verl.statistics.pss_interval import pss_refusal

Quantity = Literal["worst", "best", "mean", "pss"]
ESTIMANDS: Mapping[Quantity, str] = {
    "worst": "smallest accuracy of these personas",
    "best": "largest accuracy of these personas",
    "mean": "accuracy averaged over the personas",
    "pss": "smallest over largest accuracy of these personas",
}
MIN_SEEDS = 2
"""Fewest training seeds with a variance between them."""
NEAR = 3.0
"""Standard errors of its distance to the measured minimum within which another value may be the true minimum."""
LEVEL, TAIL = 0.95, 0.975
"""Level of all intervals, and the quantile of either limit."""


@dataclass(frozen=True, slots=True)
class SeedResamples:
    """One quantity of the S models of a method, and its noise over B resamples of the N problems.

    Attributes:
        by_seed: the measured quantity of each model, length S.
        above_B: resamples of how far the estimate lies above the true mean of these models, shape (B,); NaN if refused.
        below_B: resamples of how far it lies below.
        problems: N.
        refused: the reason for giving no interval; ``None`` if there is one.
    """

    quantity: Quantity
    by_seed: tuple[float, ...]
    above_B: Floats
    below_B: Floats
    problems: int
    refused: str | None = None


@dataclass(frozen=True, slots=True)
class PooledEstimate:
    """A quantity pooled over training seeds.

    Attributes:
        by_seed: the estimate of each model, length S.
        interval: the mean over the seeds, with its interval over problems and seeds.
        from_problems, from_seeds: half-widths that the problems or the seeds alone would give; ``None`` if refused.
    """

    by_seed: tuple[float, ...]
    interval: Interval
    from_problems: float | None = None
    from_seeds: float | None = None


def resample_seeds(
    correct_SPRN: Sequence[ArrayLike], *, seed: int, resamples: int = 4000
) -> dict[Quantity, SeedResamples]:
    """Resample the problems for all models of a method at once.

    The same seed and number of problems give the same resamples, which pairs those of two methods.

    Args:
        correct_SPRN: 0/1 correctness of each model, shape (P, R, N), on the same N problems in the same order.
        resamples: bootstrap resamples of the problems.

    Returns:
        The noise of each quantity.

    Raises:
        UserError: no model, an array of another shape, or models with different numbers of problems.
    """
    correct = [as_correct(correct_PRN) for correct_PRN in correct_SPRN]
    problems = {correct_PRN.shape[2] for correct_PRN in correct}
    if len(problems) != 1:
        raise UserError(f"{len(correct)} models with {sorted(problems)} problems", "give models on the same problems")
    number = problems.pop()
    accuracy_SP = [correct_PRN.mean(axis=(1, 2)) for correct_PRN in correct]
    resampled_SBP = [bootstrap_accuracy(correct_PRN, resamples, seed=seed) for correct_PRN in correct]
    result: dict[Quantity, SeedResamples] = {}
    for quantity in ESTIMANDS:
        by_seed = tuple(_measured(quantity, accuracy_P) for accuracy_P in accuracy_SP)
        refused = _refusal_reason(quantity, correct)
        # The bootstrap's variance is too small by (N - 1) / N, and N problems have the tails of a t distribution.
        stretch = np.nan if refused else np.sqrt(number / (number - 1)) * stdtrit(number - 1, TAIL) / ndtri(TAIL)
        noise_2SB = np.full((2, len(correct), resamples), np.nan)
        if not refused:
            for model, (accuracy_P, resampled_BP) in enumerate(zip(accuracy_SP, resampled_SBP, strict=True)):
                noise_2SB[:, model] = _noise(quantity, accuracy_P, resampled_BP)
        above_B, below_B = stretch * noise_2SB.mean(axis=1)
        result[quantity] = SeedResamples(quantity, by_seed, above_B, below_B, number, refused)
    return result


def _measured(quantity: Quantity, accuracy_P: Floats) -> float:
    if quantity == "worst":
        return float(accuracy_P.min())
    if quantity == "best":
        return float(accuracy_P.max())
    return float(accuracy_P.mean() if quantity == "mean" else pss(accuracy_P))


def _refusal_reason(quantity: Quantity, correct_SPRN: Sequence[Floats]) -> str | None:
    """Return the reason why a model's interval over problems does not hold, or that there is one model."""
    if len(correct_SPRN) < MIN_SEEDS:
        return f"{len(correct_SPRN)} training seed; at least {MIN_SEEDS} are needed"
    for number, correct_PRN in enumerate(correct_SPRN, start=1):
        scores_PN, accuracy_P = correct_PRN.mean(axis=1), correct_PRN.mean(axis=(1, 2))
        if quantity == "pss":
            reason = pss_refusal(correct_PRN)
        elif quantity == "mean":
            reason = cluster_interval(scores_PN.mean(axis=0), "").refused
        else:
            extreme = accuracy_P.argmin() if quantity == "worst" else accuracy_P.argmax()
            reason = cluster_interval(scores_PN[extreme], "").refused
        if reason:
            return f"model {number} of {len(correct_SPRN)}: {reason}"
    return None


def _noise(quantity: Quantity, accuracy_P: Floats, resampled_BP: Floats) -> tuple[Floats, Floats]:
    """Return resamples of how far a model's quantity lies above and below the truth, shape (B,) each."""
    value_K, resampled_BK = _candidates(quantity, accuracy_P), _candidates(quantity, resampled_BP)
    noise_BK = resampled_BK - value_K
    smallest = int(value_K.argmin())
    error_K = (noise_BK - noise_BK[:, [smallest]]).std(axis=0)
    near_K = value_K - value_K[smallest] <= NEAR * error_K + 1e-12
    above_B, below_B = noise_BK[:, smallest], (-noise_BK[:, near_K]).max(axis=1)
    return (below_B, above_B) if quantity == "best" else (above_B, below_B)


def _candidates(quantity: Quantity, accuracy_P: Floats) -> Floats:
    """Return the values (..., K) whose minimum is the quantity, from accuracies (..., P); for best, its negative."""
    if quantity == "mean":
        mean_1: Floats = accuracy_P.mean(axis=-1, keepdims=True)
        return mean_1
    if quantity != "pss":
        return accuracy_P if quantity == "worst" else -accuracy_P
    ratio_PP = accuracy_P[..., :, None] / accuracy_P[..., None, :]  # positive where PSS has an interval
    return ratio_PP.reshape(*accuracy_P.shape[:-1], -1)


def pool_seeds(resampled: SeedResamples) -> PooledEstimate:
    """Pool a quantity over training seeds, with a 95 % interval or the reason for refusing one."""
    estimand = f"{ESTIMANDS[resampled.quantity]}, on problems like these, averaged over training seeds"
    estimate = float(np.mean(resampled.by_seed))
    if resampled.refused:
        return PooledEstimate(resampled.by_seed, refused_interval(estimand, estimate, LEVEL, resampled.refused))
    centre, from_problems = _over_problems(estimate, resampled.above_B, resampled.below_B)
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
        The interval, inside [-1, 1]; refused if that of either method is.

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
    centre, from_problems = _over_problems(estimate, first.above_B + second.below_B, first.below_B + second.above_B)
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
