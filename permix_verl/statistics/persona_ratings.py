"""Statistics of persona fidelity ratings, clustered by persona.

Here the personas are the sample; elsewhere in this package they are a fixed set and the problems are the sample. A
fidelity score is an estimate for roles like these, and all ratings of a role are correlated, so personas are the
independent units. Each persona has one value, and the mean of these values has the standard error of a mean (arXiv
2411.00640, section 2.2, with the persona as cluster).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import stdtrit
from scipy.stats import permutation_test

from permix_verl.errors import UserError
from permix_verl.statistics.accuracy import Floats
from permix_verl.statistics.clustered import MIN_DEGREES, Interval, degrees_of_freedom, refused_interval

MIN_PERSONAS = 8
"""Fewest personas for an interval or a p-value."""
MAX_EXACT_PERSONAS = 16
"""Most personas for which the sign-flip test enumerates all sign changes; above, it samples them."""


@dataclass(frozen=True, slots=True)
class PairedRatings:
    """A paired comparison of two models on the same personas.

    Attributes:
        difference: mean of first minus second, with its t interval over personas.
        p_value: two-sided, by exchanging the two models within personas; the null is that they are exchangeable.
            ``None`` below :data:`MIN_PERSONAS`.
        personas: number of personas with values of both models.
    """

    difference: Interval
    p_value: float | None
    personas: int


def persona_interval(
    values_P: ArrayLike, estimand: str, lowest: float, highest: float, level: float = 0.95
) -> Interval:
    """Estimate the mean over personas, with a t interval.

    Args:
        values_P: one value per persona, shape (P,); NaN values are left out.
        lowest, highest: the ends of the scale.

    Raises:
        UserError: values outside the scale.
    """
    values = np.asarray(values_P, dtype=np.float64)
    values = values[~np.isnan(values)]
    if ((values < lowest) | (values > highest)).any():
        raise UserError(f"values lie outside [{lowest:g}, {highest:g}]", "give one value in that range per persona")
    return _t_interval(values, estimand, lowest, highest, level)


def paired_ratings(
    first_P: ArrayLike, second_P: ArrayLike, estimand: str, width: float, *, seed: int, resamples: int = 20_000
) -> PairedRatings:
    """Compare two models persona by persona (first minus second).

    Args:
        first_P, second_P: one value per persona, shape (P,), same personas; those with NaN in either are left out.
        width: width of the scale, the largest possible difference.
        resamples: sampled sign changes, if there are more than :data:`MAX_EXACT_PERSONAS` personas.

    Raises:
        UserError: different numbers of personas.
    """
    first, second = (np.asarray(values, dtype=np.float64) for values in (first_P, second_P))
    if first.shape != second.shape:
        raise UserError(f"{first.shape} personas against {second.shape}", "give the same ones for both models")
    difference = (first - second)[~np.isnan(first - second)]
    p_value = sign_flip_test(difference, seed=seed, resamples=resamples) if len(difference) >= MIN_PERSONAS else None
    return PairedRatings(_t_interval(difference, estimand, -width, width, 0.95), p_value, len(difference))


def sign_flip_test(difference_P: ArrayLike, *, seed: int, resamples: int = 20_000) -> float:
    """Return the two-sided p-value of a mean difference under sign flips (``scipy.stats.permutation_test``).

    The test is exact up to :data:`MAX_EXACT_PERSONAS` personas.

    Args:
        difference_P: shape (P,).
        seed: seed of the sampled sign changes, if the test is not exact.
        resamples: number of sampled sign changes.
    """
    difference = np.asarray(difference_P, dtype=np.float64)
    test = permutation_test(
        (difference,),
        np.mean,
        permutation_type="samples",
        n_resamples=2 ** len(difference) if len(difference) <= MAX_EXACT_PERSONAS else resamples,
        rng=np.random.default_rng(seed),
    )
    return float(test.pvalue)


def krippendorff_alpha(
    ratings_JPQ: ArrayLike, domain: Sequence[int], *, seed: int, resamples: int = 1000, level: float = 0.95
) -> Interval:
    """Estimate Krippendorff's ordinal alpha of the judges, with a bootstrap interval over personas.

    Alpha is 1 for perfect agreement, 0 for agreement by chance, and negative below that.

    Args:
        ratings_JPQ: judges x personas x questions, shape (J, P, Q); NaN where there is no rating.
        domain: all values that a rating can take.
        resamples: bootstrap resamples of the personas.
    """
    import krippendorff

    ratings = np.asarray(ratings_JPQ, dtype=np.float64)
    estimand = "agreement of these judges on roles like these"

    def alpha(ratings_JU: Floats) -> float:
        pairable = ratings_JU[:, (~np.isnan(ratings_JU)).sum(axis=0) >= 2]
        if pairable.size == 0 or len(np.unique(pairable[~np.isnan(pairable)])) < 2:
            return float("nan")
        return float(
            krippendorff.alpha(
                reliability_data=pairable, level_of_measurement="ordinal", value_domain=np.asarray(domain, dtype=float)
            )
        )

    judges, personas = ratings.shape[:2]
    if judges < 2:
        return refused_interval(estimand, float("nan"), level, "one judge")
    estimate = alpha(ratings.reshape(judges, -1))
    if np.isnan(estimate):
        return refused_interval(estimand, estimate, level, "all ratings are the same, or none is by two judges")
    if personas < MIN_PERSONAS:
        return refused_interval(estimand, estimate, level, f"{personas} personas; at least {MIN_PERSONAS} are needed")
    generator = np.random.default_rng(seed)
    alphas = [
        alpha(ratings[:, generator.integers(0, personas, personas)].reshape(judges, -1)) for _ in range(resamples)
    ]
    usable = np.array([value for value in alphas if not np.isnan(value)])
    if len(usable) < 0.95 * resamples:
        return refused_interval(estimand, estimate, level, "too few personas on which ratings differ")
    low, high = np.quantile(usable, [(1 - level) / 2, (1 + level) / 2])
    return Interval(estimand, estimate, float(low), float(high), level)


def _t_interval(values: Floats, estimand: str, lowest: float, highest: float, level: float) -> Interval:
    number = len(values)
    estimate = float(values.mean()) if number else float("nan")
    if number < MIN_PERSONAS:
        return refused_interval(estimand, estimate, level, f"{number} personas; at least {MIN_PERSONAS} are needed")
    degrees = degrees_of_freedom(values)
    if degrees == 0:
        return refused_interval(estimand, estimate, level, "all personas score the same")
    if degrees < MIN_DEGREES:
        return refused_interval(estimand, estimate, level, "a single persona decides")
    error = float(values.std(ddof=1) / np.sqrt(number))
    half = float(stdtrit(degrees, 0.5 + level / 2)) * error
    return Interval(estimand, estimate, max(estimate - half, lowest), min(estimate + half, highest), level, error)
