"""Identification of an answer's persona from log-likelihoods: rate, margin, and their intervals.

Answers share personas and problems, so the two are crossed clusters. The variance of a mean is that between personas
plus that between problems, less that between answers, which both of them hold (Cameron, Gelbach and Miller, 2011), and
never less than the largest of the three.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, logit, stdtrit

from permix_verl.errors import UserError
from permix_verl.statistics.accuracy import Floats
from permix_verl.statistics.clustered import Interval, refused_interval

MIN_CLUSTERS = 8
"""Fewest personas and fewest problems for an interval."""


@dataclass(frozen=True, slots=True)
class Identification:
    """How well log-likelihoods tell which persona wrote an answer.

    Attributes:
        rate: share of answers that are likeliest under their own persona's prompt.
        margin: mean log-likelihood ratio, own prompt against the mean of the others, nats per token.
        chance: rate of a measure that does not see the persona, one over the number of personas.
        answers, personas, problems: their numbers.
    """

    rate: Interval
    margin: Interval
    chance: float
    answers: int
    personas: int
    problems: int


@dataclass(frozen=True, slots=True)
class IdentificationDifference:
    """Difference of two models' answers to the same problems under the same personas, first less second.

    Attributes:
        rate: of the shares of answers that are identified.
        margin: of the mean log-likelihood ratios, nats per token.
        answers: pairs of answers.
    """

    rate: Interval
    margin: Interval
    answers: int


def log_ratio(scores_AK: ArrayLike, own_A: ArrayLike) -> Floats:
    """Return each answer's log-likelihood ratio: under its own persona's prompt less the mean under the others', (A,).

    Args:
        scores_AK: log-likelihood of each answer under each of K prompts, nats per token.
        own_A: column of each answer's own persona.

    Raises:
        UserError: fewer than two prompts, or columns that do not fit.
    """
    scores, own = _checked(scores_AK, own_A)
    mine = scores[np.arange(len(own)), own]
    ratio: Floats = mine - (scores.sum(axis=1) - mine) / (scores.shape[1] - 1)
    return ratio


def identified(scores_AK: ArrayLike, own_A: ArrayLike) -> Floats:
    """Return 1 for each answer that is likeliest under its own persona's prompt, else 0; a tie of n counts 1/n, (A,).

    Args:
        scores_AK, own_A: as of :func:`log_ratio`.

    Raises:
        UserError: as :func:`log_ratio`.
    """
    scores, own = _checked(scores_AK, own_A)
    best = scores == scores.max(axis=1, keepdims=True)
    hits: Floats = best[np.arange(len(own)), own] / best.sum(axis=1)
    return hits


def identification(scores_AK: ArrayLike, own_A: ArrayLike, problem_A: ArrayLike, level: float = 0.95) -> Identification:
    """Estimate the rate of identification and the mean log-likelihood ratio.

    Args:
        scores_AK, own_A: as of :func:`log_ratio`.
        problem_A: number of each answer's problem.

    Raises:
        UserError: as :func:`log_ratio`, or problems that do not fit.
    """
    scores, own = _checked(scores_AK, own_A)
    problem = np.asarray(problem_A)
    if problem.shape != own.shape:
        raise UserError(f"{problem.shape} problems for {own.shape} answers", "give each answer's problem")
    hits, ratios = identified(scores, own), log_ratio(scores, own)
    rate = _interval(hits, own, problem, "share of answers like these whose persona is identified", level, True)
    margin = _interval(ratios, own, problem, "mean log-likelihood ratio of answers like these", level, False)
    personas, problems = len(np.unique(own)), len(np.unique(problem))
    return Identification(rate, margin, 1 / scores.shape[1], len(own), personas, problems)


def identification_difference(
    first_AK: ArrayLike, second_AK: ArrayLike, own_A: ArrayLike, problem_A: ArrayLike, level: float = 0.95
) -> IdentificationDifference:
    """Estimate how much better the first model's answers are identified than the second's.

    Args:
        first_AK, second_AK: log-likelihoods of two models' answers, row by row to the same problem under the same
            persona.
        own_A, problem_A: as of :func:`identification`.

    Raises:
        UserError: as :func:`identification`, or shapes that differ.
    """
    (first, own), (second, _) = _checked(first_AK, own_A), _checked(second_AK, own_A)
    problem = np.asarray(problem_A)
    if first.shape != second.shape or problem.shape != own.shape:
        raise UserError(
            f"log-likelihoods of the shapes {first.shape} and {second.shape}, problems {problem.shape}",
            "give the same answers of both models, and each answer's problem",
        )
    hits, ratios = (measure(first, own) - measure(second, own) for measure in (identified, log_ratio))
    return IdentificationDifference(
        _interval(hits, own, problem, "difference of the shares identified", level, False),
        _interval(ratios, own, problem, "difference of the mean log-likelihood ratios", level, False),
        len(own),
    )


def shuffled_own(own_A: ArrayLike, problem_A: ArrayLike, *, seed: int) -> NDArray[np.int64]:
    """Return the answers' personas exchanged at random within each problem: labels that say nothing, (A,)."""
    own, problem = np.asarray(own_A, dtype=np.int64), np.asarray(problem_A)
    generator = np.random.default_rng(seed)
    shuffled = own.copy()
    for value in np.unique(problem):
        shuffled[problem == value] = generator.permutation(own[problem == value])
    return shuffled


def _checked(scores_AK: ArrayLike, own_A: ArrayLike) -> tuple[Floats, NDArray[np.int64]]:
    scores, own = np.asarray(scores_AK, dtype=np.float64), np.asarray(own_A, dtype=np.int64)
    if scores.ndim != 2 or scores.shape[1] < 2 or not np.isfinite(scores).all():
        raise UserError(
            f"log-likelihoods have the shape {scores.shape}", "give (answers, prompts), two prompts or more"
        )
    if own.shape != scores.shape[:1] or not ((own >= 0) & (own < scores.shape[1])).all():
        raise UserError(f"personas {own.shape} for {scores.shape} log-likelihoods", "give each answer's column")
    return scores, own


def _interval(
    values_A: Floats, own_A: NDArray, problem_A: NDArray, estimand: str, level: float, share: bool
) -> Interval:
    estimate = float(values_A.mean()) if len(values_A) else float("nan")
    personas, problems = len(np.unique(own_A)), len(np.unique(problem_A))
    if min(personas, problems) < MIN_CLUSTERS:
        reason = f"{personas} personas and {problems} problems; at least {MIN_CLUSTERS} of each are needed"
        return refused_interval(estimand, estimate, level, reason)
    error = float(np.sqrt(_crossed_variance(values_A, own_A, problem_A)))
    if error == 0:
        return refused_interval(estimand, estimate, level, "all answers say the same")
    half = float(stdtrit(min(personas, problems) - 1, 0.5 + level / 2)) * error
    if not share:
        return Interval(estimand, estimate, estimate - half, estimate + half, level, error)
    half /= estimate * (1 - estimate)
    low, high = (float(expit(logit(estimate) + side * half)) for side in (-1, 1))
    return Interval(estimand, estimate, low, high, level, error)


def _crossed_variance(values_A: Floats, own_A: NDArray, problem_A: NDArray) -> float:
    """Return the variance of the mean of values that share personas and problems."""
    deviation = values_A - values_A.mean()

    def between(cluster_A: NDArray) -> float:
        _, members = np.unique(cluster_A, return_inverse=True)
        sums = np.bincount(members, deviation)
        return float((sums**2).sum()) * len(sums) / (len(sums) - 1)

    one, other, each = between(own_A), between(problem_A), between(np.arange(len(values_A)))
    return max(one + other - each, one, other, each) / len(values_A) ** 2
