"""Ratings of how well a persona is played: personas are the sample here.

Everywhere else in this package the personas are the fixed set that was asked, and problems are drawn. A fidelity score
is said of roles like these, and all of a role's ratings share it, so the persona is what is independent: each has one
value, and the mean of these has the standard error of a mean (arXiv 2411.00640, section 2.2, the persona as cluster).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import stdtrit

from permix_verl.errors import UserError
from permix_verl.statistics.accuracy import Floats
from permix_verl.statistics.clustered import MIN_DEGREES, Interval, degrees_of_freedom, refused_interval

MIN_PERSONAS = 8
"""Below, no interval is given."""
EXACT = 16
"""Up to so many personas all sign changes are gone through; above, some are drawn."""


@dataclass(frozen=True, slots=True)
class PairedRatings:
    """Two models on the same personas.

    Attributes:
        difference: first minus second, with its t interval over personas.
        p_value: two-sided, by exchanging the two models within personas: on each it does not matter which one answered.
            ``None`` below :data:`MIN_PERSONAS`.
    """

    difference: Interval
    p_value: float | None
    personas: int


def persona_interval(
    values_P: ArrayLike, estimand: str, lowest: float, highest: float, level: float = 0.95
) -> Interval:
    """Mean over personas with a t interval, from one value in [lowest, highest] per persona.

    Args:
        values_P: shape (P,); personas without a value are NaN and left out.

    Raises:
        UserError: values outside of the range.
    """
    values = np.asarray(values_P, dtype=np.float64)
    values = values[~np.isnan(values)]
    if ((values < lowest) | (values > highest)).any():
        raise UserError(f"values lie outside of [{lowest:g}, {highest:g}]; give one of that range for each persona")
    return _t_interval(values, estimand, lowest, highest, level)


def paired_ratings(
    first_P: ArrayLike, second_P: ArrayLike, estimand: str, width: float, *, seed: int, draws: int = 20_000
) -> PairedRatings:
    """The first model's values less the second's, persona by persona.

    Args:
        first_P, second_P: shape (P,), the same personas; those without a value in either are left out.
        width: of the scale: no difference is larger.

    Raises:
        UserError: different numbers of personas.
    """
    first, second = (np.asarray(values, dtype=np.float64) for values in (first_P, second_P))
    if first.shape != second.shape:
        raise UserError(f"{first.shape} personas against {second.shape}; a pair needs the same ones")
    difference = (first - second)[~np.isnan(first - second)]
    p_value = sign_flip_test(difference, seed=seed, draws=draws) if len(difference) >= MIN_PERSONAS else None
    return PairedRatings(_t_interval(difference, estimand, -width, width, 0.95), p_value, len(difference))


def sign_flip_test(difference_P: ArrayLike, *, seed: int, draws: int = 20_000) -> float:
    """Two-sided p-value of a mean difference under changes of sign: exact up to :data:`EXACT` personas."""
    difference = np.asarray(difference_P, dtype=np.float64)
    number = len(difference)
    observed = abs(difference.sum()) - 1e-9 * max(1.0, np.abs(difference).sum())
    if number <= EXACT:
        signs = 1 - 2 * ((np.arange(2**number)[:, None] >> np.arange(number)) & 1)
        return float((np.abs(signs @ difference) >= observed).mean())
    signs = np.random.default_rng(seed).integers(0, 2, (draws, number), dtype=np.int8) * 2 - 1
    return float((1 + (np.abs(signs @ difference) >= observed).sum()) / (draws + 1))


def krippendorff_alpha(
    ratings_JPQ: ArrayLike, domain: Sequence[int], *, seed: int, draws: int = 1000, level: float = 0.95
) -> Interval:
    """Krippendorff's alpha of judges on an ordinal scale, with a bootstrap interval over personas.

    1: they agree, 0: as if each had drawn from all ratings, below: worse than that. Missing ratings are left out.

    Args:
        ratings_JPQ: shape (J, P, Q): judges, personas, questions; NaN where there is no rating.
        domain: all values that a rating may have.
    """
    import krippendorff

    ratings = np.asarray(ratings_JPQ, dtype=np.float64)
    estimand = "agreement of these judges on roles like these"

    def alpha(sample: Floats) -> float:
        pairable = sample[:, (~np.isnan(sample)).sum(axis=0) >= 2]
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
    drawn = [alpha(ratings[:, generator.integers(0, personas, personas)].reshape(judges, -1)) for _ in range(draws)]
    usable = np.array([value for value in drawn if not np.isnan(value)])
    if len(usable) < 0.95 * draws:
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
