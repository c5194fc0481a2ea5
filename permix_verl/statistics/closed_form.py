"""The paper's closed form: what persona-conditioned RLVR would do to each problem (section 3.3, Proposition 1).

With p the reference model's chance to solve a problem under a persona, the optimum of the
reward with a KL penalty of coefficient beta solves it with p (1 + K) / (1 + K p), where
K = exp(1 / beta) - 1. In logits it is a shift: logit p* = logit p + 1 / beta, which does not
overflow. The proposition is per problem: averaging first and shifting then is another
number, and on a data set of uneven difficulty a wrong one.

``beta`` is the coefficient of a sequence-level KL in units of the reward. The coefficient of
a per-token penalty, averaged over tokens as trainers do it, is not the same number.
"""

import numpy as np
from numpy.typing import ArrayLike
from scipy.integrate import trapezoid
from scipy.special import betainc, betaln, expit, logit

from permix_verl.errors import UserError
from permix_verl.statistics.accuracy import Floats, as_correct

_EDGE, _PER_UNIT = 40.0, 16
_SMALLEST_BETA = 1e-3


def optimal_accuracy(reference: ArrayLike, beta: float) -> Floats:
    """Accuracy after persona-conditioned RLVR, elementwise (Proposition 1, i); 0 stays 0 and 1 stays 1.

    Args:
        reference: the reference model's accuracy on single problems, any shape, in [0, 1].
        beta: KL coefficient, above 0.

    Raises:
        UserError: beta not above 0.
    """
    _check(beta)
    after: Floats = expit(logit(np.asarray(reference, dtype=np.float64)) + 1 / beta)
    return after


def style_posterior(prior: ArrayLike, competence: ArrayLike, beta: float) -> Floats:
    """Shares of styles after RLVR (Eq. 3): prior times 1 + K c, normalised along the last axis.

    Args:
        prior: shares of styles under the reference model, (..., styles).
        competence: chance to reason correctly in each style, (..., styles).
    """
    _check(beta)
    with np.errstate(divide="ignore"):
        log_prior, log_c = np.log(np.asarray(prior, dtype=np.float64)), np.log(np.asarray(competence, dtype=np.float64))
    # log(1 + K c) without K, which overflows.
    log_weight = log_prior + np.logaddexp(0, log_c + 1 / beta + np.log1p(-np.exp(-1 / beta)))
    largest = log_weight.max(axis=-1, keepdims=True)
    if np.isneginf(largest).any():
        raise UserError("the prior gives no style a share; give shares that sum to 1")
    weight = np.exp(log_weight - largest)
    shares: Floats = weight / weight.sum(axis=-1, keepdims=True)
    return shares


def predicted_accuracy(correct_PRN: ArrayLike, beta: float, *, smoothed: bool = True) -> Floats:
    """Accuracy of each persona after persona-conditioned RLVR, from a base model's stored answers, shape (P,).

    Args:
        correct_PRN: 0/1 correctness: P personas, R runs, N problems.
        beta: KL coefficient.
        smoothed: a share of right answers among few runs is not a chance, and the shift is
            far from linear: 0 of 5 would stay 0 for ever. Smoothed averages the shift over
            what the chance may be, given the answers and a beta distribution fitted to all of
            the persona's problems; otherwise the raw share is shifted ("plug-in"). One run says
            nothing of how difficulty is spread: a share of 0.5 between problems is assumed then.

    Raises:
        UserError: not (P, R, N), not 0/1, or beta not above 0.
    """
    correct = as_correct(correct_PRN)
    if not np.isin(correct, (0, 1)).all():
        raise UserError("correctness holds values other than 0 and 1; the closed form counts right answers")
    _check(beta)
    if smoothed and beta < _SMALLEST_BETA:
        raise UserError(f"the KL coefficient beta is {beta}; smoothed predictions take at least {_SMALLEST_BETA}")
    if not smoothed:
        accuracy: Floats = optimal_accuracy(correct.mean(axis=1), beta).mean(axis=1)
        return accuracy
    return np.array([_smoothed(right_N, correct.shape[1], beta) for right_N in correct.sum(axis=1)])


def _smoothed(right_N: Floats, runs: int, beta: float) -> float:
    a, b = _fit_beta(right_N, runs)
    counts = np.arange(runs + 1)
    # Over the logit of the chance, in equal steps. Below the window the shifted chance is 0, above it is 1.
    steps = np.linspace(-_EDGE - 1 / beta, _EDGE, int(_PER_UNIT * (2 * _EDGE + 1 / beta)))
    log_p, log_q = -np.logaddexp(0, -steps), -np.logaddexp(0, steps)
    log_density = (a + counts[:, None]) * log_p + (b + runs - counts[:, None]) * log_q
    log_density -= betaln(a + counts, b + runs - counts)[:, None]
    after = trapezoid(np.exp(log_density) * expit(steps + 1 / beta), steps, axis=1)
    after += betainc(b + runs - counts, a + counts, expit(-_EDGE))
    return float(after[right_N.astype(int)].mean())


def _fit_beta(right_N: Floats, runs: int) -> tuple[float, float]:
    """Beta distribution of a problem's chance by moments; its variance is kept above 0 and below a coin's."""
    mean = float(np.clip(right_N.mean() / runs, 1e-4, 1 - 1e-4))
    if runs > 1:
        # Unbiased for the second moment of the chance: pairs of runs that are both right.
        second = float((right_N * (right_N - 1)).mean()) / (runs * (runs - 1))
        share = (second - mean**2) / (mean * (1 - mean))
    else:
        share = 0.5  # one run says nothing of how difficulty is spread
    share = float(np.clip(share, 0.02, 0.98))
    size = (1 - share) / share
    return mean * size, (1 - mean) * size


def _check(beta: float) -> None:
    if not beta > 0:
        raise UserError(f"the KL coefficient beta is {beta}; it must be above 0")
