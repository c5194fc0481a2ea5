"""What PSS lacks: figures that still say something where the worst accuracy is near zero."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from permix_verl.errors import UserError
from permix_verl.statistics.accuracy import as_correct, persona_accuracy
from permix_verl.statistics.clustered import Interval, cluster_covariance
from permix_verl.statistics.cross_fit import cross_fitted_scores
from permix_verl.statistics.paired import paired_interval


@dataclass(frozen=True, slots=True)
class FlipRates:
    """How often two answers to one problem differ in correctness, averaged over problems.

    Attributes:
        across: two answers under different personas.
        within: two runs under one persona; NaN with one run.
    """

    across: float
    within: float

    @property
    def excess(self) -> float:
        """What the change of persona adds to sampling."""
        return self.across - self.within


def flip_rates(correct_PRN: ArrayLike) -> FlipRates:
    """Unbiased, from all pairs of answers; 0/1 correctness."""
    correct = as_correct(correct_PRN)
    personas, runs, _ = correct.shape
    right_PN = correct.sum(axis=1)
    right_N = right_PN.sum(axis=0)
    # Ordered pairs of one right and one wrong answer: all, and those within one persona.
    all_N = 2 * right_N * (personas * runs - right_N)
    within_N = (2 * right_PN * (runs - right_PN)).sum(axis=0)
    across = (all_N - within_N).mean() / (personas * (personas - 1) * runs**2)
    within = within_N.mean() / (personas * runs * (runs - 1)) if runs > 1 else np.nan
    return FlipRates(float(across), float(within))


def persona_sd(correct_PRN: ArrayLike) -> float:
    """Standard deviation of the personas' true accuracies, by the method of moments.

    The variance of the measured accuracies less what noise adds to it (clustered by
    problem); 0 where noise explains all of it.
    """
    covariance = cluster_covariance(correct_PRN)
    number = len(covariance)
    noise = (np.trace(covariance) - covariance.sum() / number) / (number - 1)
    return float(np.sqrt(max(persona_accuracy(correct_PRN).var(ddof=1) - noise, 0.0)))


def worst_minus_control(correct_PRN: ArrayLike, control_RN: ArrayLike, *, seed: int, level: float = 0.95) -> Interval:
    """Cross-fitted worst persona minus no persona, on the same problems.

    Args:
        control_RN: correctness without a persona; runs may differ in number.

    Raises:
        UserError: other problems.
    """
    correct, control = as_correct(correct_PRN), np.asarray(control_RN, dtype=np.float64)
    if control.ndim != 2 or not len(control) or control.shape[1] != correct.shape[2]:
        raise UserError(
            f"the arm without persona has the shape {control.shape} against {correct.shape}; give (runs, problems) on "
            "the same problems"
        )
    if not ((control >= 0) & (control <= 1)).all():
        raise UserError("the arm without persona holds values that are not between 0 and 1; give 0 or 1")
    return paired_interval(
        cross_fitted_scores(correct, seed=seed),
        control.mean(axis=0),
        "accuracy of the persona chosen as worst on half of the problems, minus accuracy without persona",
        level,
    )
