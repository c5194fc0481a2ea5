"""Intervals for a ratio of two sums over problems, such as wins among decided pairs."""

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit, logit, stdtrit

from permix_verl.errors import UserError
from permix_verl.statistics.clustered import MIN_DEGREES, MIN_PROBLEMS, Interval, degrees_of_freedom, refused_interval


def ratio_interval(part_N: ArrayLike, whole_N: ArrayLike, estimand: str, level: float = 0.95) -> Interval:
    """Estimate the sum of parts over the sum of wholes, with a linearised interval on the logit scale.

    Args:
        part_N, whole_N: shape (N,), 0 <= part <= whole for each problem.

    Raises:
        UserError: other shapes, or a part outside [0, whole].
    """
    part, whole = (np.asarray(values, dtype=np.float64) for values in (part_N, whole_N))
    if part.shape != whole.shape or part.ndim != 1 or ((part < 0) | (part > whole)).any():
        raise UserError(
            "parts and wholes have different shapes, or a part lies outside [0, whole]",
            "give two vectors (N,) with 0 <= part <= whole",
        )
    number, total = int((whole > 0).sum()), float(whole.sum())
    estimate = float(part.sum() / total) if total else float("nan")
    if number < MIN_PROBLEMS:
        return refused_interval(estimand, estimate, level, f"{number} problems; at least {MIN_PROBLEMS} are needed")
    if estimate in (0.0, 1.0):
        return refused_interval(estimand, estimate, level, "all problems say the same")
    residual = part - estimate * whole
    room = float(min(part.sum(), total - part.sum()))
    degrees = min(degrees_of_freedom(residual), 2 * room)
    if degrees < MIN_DEGREES:
        return refused_interval(estimand, estimate, level, "too few problems on one side")
    error = float(residual.std(ddof=1) / np.sqrt(len(part)) / whole.mean())
    half = float(stdtrit(degrees, 0.5 + level / 2)) * error / (estimate * (1 - estimate))
    low, high = (float(expit(logit(estimate) + side * half)) for side in (-1, 1))
    return Interval(estimand, estimate, low, high, level, error)
