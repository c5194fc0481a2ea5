"""Robustness metrics that stay informative when the worst accuracy is near zero, where PSS does not."""

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
    """The rates at which two completions of one problem differ in correctness, averaged over problems.

    Attributes:
        across: for two completions under different personas.
        within: for two runs under one persona; NaN with one run.
    """

    across: float
    within: float

    @property
    def excess(self) -> float:
        """The flip rate that changing the persona adds to sampling noise."""
        return self.across - self.within


def flip_rates(correct_PRN: ArrayLike) -> FlipRates:
    """Compute unbiased flip rates from all pairs of completions.

    Args:
        correct_PRN: 0/1 correctness, shape (P, R, N).
    """
    correct = as_correct(correct_PRN)
    personas, runs, _ = correct.shape
    right_PN = correct.sum(axis=1)
    right_N = right_PN.sum(axis=0)
    # Ordered pairs of one correct and one wrong completion: all of them, and those within one persona.
    all_N = 2 * right_N * (personas * runs - right_N)
    within_N = (2 * right_PN * (runs - right_PN)).sum(axis=0)
    across = (all_N - within_N).mean() / (personas * (personas - 1) * runs**2)
    within = within_N.mean() / (personas * runs * (runs - 1)) if runs > 1 else np.nan
    return FlipRates(float(across), float(within))


def persona_sd(correct_PRN: ArrayLike) -> float:
    """Estimate the standard deviation of the personas' true accuracies by the method of moments.

    The noise variance (clustered by problem) is subtracted from the variance of the measured
    accuracies. The estimate is 0 if noise explains all of it.
    """
    covariance = cluster_covariance(correct_PRN)
    number = len(covariance)
    noise = (np.trace(covariance) - covariance.sum() / number) / (number - 1)
    return float(np.sqrt(max(persona_accuracy(correct_PRN).var(ddof=1) - noise, 0.0)))


def worst_minus_control(correct_PRN: ArrayLike, control_RN: ArrayLike, *, seed: int, level: float = 0.95) -> Interval:
    """Estimate the cross-fitted worst accuracy minus the accuracy without a persona, on the same problems.

    Args:
        correct_PRN: 0/1 correctness, shape (P, R, N).
        control_RN: correctness without a persona, shape (R', N); the number of runs may differ.

    Raises:
        UserError: a control of another shape or number of problems, or with values outside [0, 1].
    """
    correct, control = as_correct(correct_PRN), np.asarray(control_RN, dtype=np.float64)
    if control.ndim != 2 or not len(control) or control.shape[1] != correct.shape[2]:
        raise UserError(
            f"the control without persona has the shape {control.shape}, the personas {correct.shape}",
            "give (runs, problems) on the same problems",
        )
    if not ((control >= 0) & (control <= 1)).all():
        raise UserError("the control without persona has values outside [0, 1]", "give 0 or 1")
    return paired_interval(
        cross_fitted_scores(correct, seed=seed),
        control.mean(axis=0),
        "accuracy of the persona chosen as worst on half of the problems, minus accuracy without persona",
        level,
    )
