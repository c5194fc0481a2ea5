"""Closed form of persona-conditioned RLVR per problem (arXiv 2604.08986, section 3.3, Proposition 1).

Let p be the reference model's probability to solve a problem under a persona. The policy that
maximises the reward with a KL penalty of coefficient beta solves it with probability
p (1 + K) / (1 + K p), where K = exp(1 / beta) - 1. In logits this is a shift,
logit p* = logit p + 1 / beta, which does not overflow. The proposition holds per problem: to
average first and shift then is wrong where difficulty is uneven.

``beta`` is the coefficient of a sequence-level KL in units of the reward. It is not the
coefficient of a KL penalty averaged over tokens, as trainers have it.
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
    """Predict the accuracy after persona-conditioned RLVR, elementwise (Proposition 1, i); 0 stays 0 and 1 stays 1.

    Args:
        reference: the reference model's accuracy on single problems in [0, 1], any shape.
        beta: KL coefficient, above 0.

    Raises:
        UserError: beta not above 0.
    """
    _check(beta)
    after: Floats = expit(logit(np.asarray(reference, dtype=np.float64)) + 1 / beta)
    return after


def style_posterior(prior: ArrayLike, competence: ArrayLike, beta: float) -> Floats:
    """Predict the probabilities of styles after RLVR (Eq. 3): prior times 1 + K c, normalised along the last axis.

    Args:
        prior: probabilities of styles under the reference model, shape (..., styles).
        competence: probability to reason correctly in each style, shape (..., styles).
        beta: KL coefficient, above 0.

    Raises:
        UserError: a prior of 0 for all styles, or beta not above 0.
    """
    _check(beta)
    with np.errstate(divide="ignore"):
        log_prior, log_c = np.log(np.asarray(prior, dtype=np.float64)), np.log(np.asarray(competence, dtype=np.float64))
    # This is log(1 + K c) without K, which overflows.
    log_weight = log_prior + np.logaddexp(0, log_c + 1 / beta + np.log1p(-np.exp(-1 / beta)))
    largest = log_weight.max(axis=-1, keepdims=True)
    if np.isneginf(largest).any():
        raise UserError("the prior is 0 for all styles", "give probabilities that sum to 1")
    weight = np.exp(log_weight - largest)
    posterior: Floats = weight / weight.sum(axis=-1, keepdims=True)
    return posterior


def predicted_accuracy(correct_PRN: ArrayLike, beta: float, *, smoothed: bool = True) -> Floats:
    """Predict each persona's accuracy after persona-conditioned RLVR from a base model's completions, shape (P,).

    Args:
        correct_PRN: 0/1 correctness: P personas, R runs, N problems.
        beta: KL coefficient.
        smoothed: average the shift over the posterior of each problem's solve probability, under a beta prior fitted
            to all of the persona's problems. Otherwise ("plug-in") the fraction of correct runs is shifted, so that 0
            of 5 stays 0. With one run the spread of difficulty is unknown: an intraclass correlation of 0.5 is assumed.

    Raises:
        UserError: not (P, R, N), not 0/1, or beta not above 0.
    """
    correct = as_correct(correct_PRN)
    if not np.isin(correct, (0, 1)).all():
        raise UserError("correctness has values other than 0 and 1", "give 0 for wrong and 1 for correct")
    _check(beta)
    if smoothed and beta < _SMALLEST_BETA:
        raise UserError(f"the KL coefficient beta is {beta}", f"smoothed predictions need at least {_SMALLEST_BETA}")
    if not smoothed:
        accuracy: Floats = optimal_accuracy(correct.mean(axis=1), beta).mean(axis=1)
        return accuracy
    return np.array([_smoothed(correct_N, correct.shape[1], beta) for correct_N in correct.sum(axis=1)])


def _smoothed(correct_N: Floats, runs: int, beta: float) -> float:
    a, b = _fit_beta(correct_N, runs)
    counts = np.arange(runs + 1)
    # Integrate over the logit of the solve probability. Below the window the shifted probability is 0, above it 1.
    steps = np.linspace(-_EDGE - 1 / beta, _EDGE, int(_PER_UNIT * (2 * _EDGE + 1 / beta)))
    log_p, log_q = -np.logaddexp(0, -steps), -np.logaddexp(0, steps)
    log_density = (a + counts[:, None]) * log_p + (b + runs - counts[:, None]) * log_q
    log_density -= betaln(a + counts, b + runs - counts)[:, None]
    after = trapezoid(np.exp(log_density) * expit(steps + 1 / beta), steps, axis=1)
    after += betainc(b + runs - counts, a + counts, expit(-_EDGE))
    return float(after[correct_N.astype(int)].mean())


def _fit_beta(correct_N: Floats, runs: int) -> tuple[float, float]:
    """Fit a beta distribution to the problems' solve probabilities by moments, with variance between 0 and a coin's."""
    mean = float(np.clip(correct_N.mean() / runs, 1e-4, 1 - 1e-4))
    if runs > 1:
        # Pairs of correct runs estimate the second moment without bias.
        second = float((correct_N * (correct_N - 1)).mean()) / (runs * (runs - 1))
        correlation = (second - mean**2) / (mean * (1 - mean))
    else:
        correlation = 0.5  # one run does not identify the spread of difficulty
    correlation = float(np.clip(correlation, 0.02, 0.98))
    size = (1 - correlation) / correlation
    return mean * size, (1 - mean) * size


def _check(beta: float) -> None:
    if not beta > 0:
        raise UserError(f"the KL coefficient beta is {beta}", "it must be above 0")
