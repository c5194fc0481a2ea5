"""Fit of the paper's theory (arXiv 2604.08986) to RL results: accuracy by Proposition 1, style fractions by Eq. 3.

The theory's KL coefficient belongs to a sequence-level penalty in reward units and differs from the trainer's
per-token coefficient. It is therefore fitted on one half of the problems and evaluated on the other, both ways and
over several splits. Three baselines have one fitted number each:

* the same gain for all personas, which is easily beaten;
* one accuracy for all personas, which wins if RL makes all personas alike, against the theory;
* the theory's shift applied to the personas' means. It is wrong in theory but free of the noise of single problems,
  so with few runs of the base it fits better even where the proposition holds exactly. It measures only the value of
  per-problem detail.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import minimize_scalar
from scipy.special import expit, logit

from permix_verl.errors import UserError
from permix_verl.statistics import cluster_covariance, paired_interval
from permix_verl.statistics.accuracy import Floats, as_correct
from permix_verl.statistics.closed_form import predicted_accuracy, style_posterior

MIN_BETA, MAX_BETA = 0.02, 50.0
"""Range of KL coefficients searched: from "everything solvable is solved" to "nothing changed"."""
SPLITS = 5
MIN_RUNS = 2
"""Minimum runs of the base: one run does not show the spread of difficulty and halves the coefficient."""
MIN_PROBLEMS = 20
"""Minimum number of problems."""

THEORY = "closed form, per problem"
SAME_GAIN = "the same gain for every persona"
SAME_ACCURACY = "one accuracy for every persona"
SAME_SHIFT = "the same shift in logits of every persona's mean"


@dataclass(frozen=True)
class Fit:
    """Theory and baselines, fitted on one half of the problems and evaluated on the other.

    Attributes:
        beta: KL coefficient fitted on all problems.
        betas: KL coefficients fitted on the halves.
        identified: False if mean accuracy did not rise significantly, if the halves' coefficients differ by a factor of
            three or more, or if one is near the lower end of the range.
        measured_P: accuracies of the trained model.
        predicted_P: the theory's accuracies on the halves not fitted, averaged over splits.
        errors: root mean square error over personas, halves and splits, by name: :data:`THEORY`, :data:`SAME_GAIN`,
            :data:`SAME_ACCURACY`, :data:`SAME_SHIFT`.
        wins: fraction of splits in which the theory's error is below each baseline's; the splits of one data set are
            not independent.
        noise: root mean square standard error of a persona's measured accuracy on a half, over resampled problems. Not
            a lower bound of the errors: these compare models on the same problems, and include the base's noise.
    """

    beta: float
    betas: tuple[float, ...]
    identified: bool
    measured_P: Floats
    predicted_P: Floats
    errors: Mapping[str, float]
    wins: Mapping[str, float]
    noise: float


def fit_closed_form(base_PRN: ArrayLike, trained_PRN: ArrayLike, *, seed: int = 0, splits: int = SPLITS) -> Fit:
    """Fit the KL coefficient of Proposition 1.

    Args:
        base_PRN, trained_PRN: 0/1 correctness of the base and of the trained model (P personas, R runs, N problems);
            the same personas and problems in the same order, R may differ.
        seed: seed of the splits of the problems into halves.
        splits: number of splits.

    Raises:
        UserError: different personas or problems, too few problems, or a base with one run.
    """
    base, trained = as_correct(base_PRN), as_correct(trained_PRN)
    _check_shapes(base, trained)
    squares: dict[str, list[float]] = {name: [] for name in (THEORY, *_BASELINES)}
    predicted, betas = [], []
    generator = np.random.default_rng(seed)
    for _ in range(splits):
        order = generator.permutation(base.shape[2])
        halves = order[: len(order) // 2], order[len(order) // 2 :]
        residuals: dict[str, list[Floats]] = {name: [] for name in squares}
        for fitted, scored in (halves, halves[::-1]):
            target_P, measured_P = (trained[:, :, half].mean(axis=(1, 2)) for half in (fitted, scored))
            beta = _fit_beta(base[:, :, fitted], target_P)
            betas.append(beta)
            predicted.append(predicted_accuracy(base[:, :, scored], beta))
            residuals[THEORY].append(predicted[-1] - measured_P)
            before_P, now_P = (base[:, :, half].mean(axis=(1, 2)) for half in (fitted, scored))
            for name, baseline in _BASELINES.items():
                residuals[name].append(baseline(before_P, target_P, now_P) - measured_P)
        for name, errors in residuals.items():
            squares[name].append(float(np.mean(np.square(errors))))
    beta = _fit_beta(base, trained.mean(axis=(1, 2)))
    return Fit(
        beta=beta,
        betas=tuple(betas),
        identified=_has_risen(base, trained) and min(betas) > 1.5 * MIN_BETA and max(betas) < 3 * min(betas),
        measured_P=trained.mean(axis=(1, 2)),
        predicted_P=np.mean(predicted, axis=0),
        errors={name: float(np.sqrt(np.mean(values))) for name, values in squares.items()},
        wins={name: float(np.mean(np.less(squares[THEORY], squares[name]))) for name in _BASELINES},
        noise=float(np.sqrt(2 * np.diag(cluster_covariance(trained)).mean())),
    )


def _check_shapes(base: Floats, trained: Floats) -> None:
    if base.shape[::2] != trained.shape[::2] or base.shape[2] < MIN_PROBLEMS:
        raise UserError(
            f"the base has {base.shape[0]} personas and {base.shape[2]} problems, the trained model "
            f"{trained.shape[0]} and {trained.shape[2]}",
            f"give both the same, with at least {MIN_PROBLEMS} problems",
        )
    if base.shape[1] < MIN_RUNS:
        raise UserError(
            f"the base has {base.shape[1]} run",
            f"give at least {MIN_RUNS}, as one does not show the spread of difficulty",
        )


def _has_risen(base: Floats, trained: Floats) -> bool:
    change = paired_interval(trained.mean(axis=(0, 1)), base.mean(axis=(0, 1)), "rise of the mean accuracy")
    return change.low is not None and change.low > 0


def _fit_beta(base_PRN: Floats, target_P: Floats) -> float:
    def loss(log_beta: float) -> float:
        return float(((predicted_accuracy(base_PRN, float(np.exp(log_beta))) - target_P) ** 2).mean())

    return float(np.exp(_minimum(loss, np.log(MIN_BETA), np.log(MAX_BETA))))


def _minimum(loss: Callable[[float], float], low: float, high: float) -> float:
    return float(minimize_scalar(loss, bounds=(low, high), method="bounded").x)


def _same_gain(before_P: Floats, target_P: Floats, now_P: Floats) -> Floats:
    gain = _minimum(lambda g: float(((np.clip(before_P + g, 0, 1) - target_P) ** 2).mean()), -1, 1)
    after: Floats = np.clip(now_P + gain, 0, 1)
    return after


def _same_accuracy(before_P: Floats, target_P: Floats, now_P: Floats) -> Floats:
    return np.full_like(now_P, target_P.mean())


def _same_shift(before_P: Floats, target_P: Floats, now_P: Floats) -> Floats:
    before, now = (logit(np.clip(accuracy, 1e-6, 1 - 1e-6)) for accuracy in (before_P, now_P))
    shift = _minimum(lambda s: float(((expit(before + s) - target_P) ** 2).mean()), -20, 50)
    after: Floats = expit(now + shift)
    return after


_BASELINES: Mapping[str, Callable[[Floats, Floats, Floats], Floats]] = {
    SAME_GAIN: _same_gain,
    SAME_ACCURACY: _same_accuracy,
    SAME_SHIFT: _same_shift,
}


def predicted_blurting(blurted_PRN: ArrayLike, worked_PRN: ArrayLike, correct_PRN: ArrayLike, beta: float) -> Floats:
    """Predict each persona's fraction of blurted answers after RL (Eq. 3), shape (P,).

    There are two styles, worked and blurted. Their prior is the base's fraction under each persona, the same on every
    problem, as the lab's base is trained. Their competence is measured on each problem over all personas: in the theory
    it does not depend on the persona. The posterior is computed per problem and averaged. Competence is estimated from
    few answers; below a coefficient of about 0.2 its error is amplified.

    Args:
        blurted_PRN, worked_PRN, correct_PRN: the base model's 0/1 arrays, see ``permix_verl.lab.voice.VoiceScores``.
        beta: KL coefficient.

    Raises:
        UserError: arrays of different shapes or not 0/1, or a style without any answer.
    """
    blurted, worked, correct = (as_correct(array) for array in (blurted_PRN, worked_PRN, correct_PRN))
    if not blurted.shape == worked.shape == correct.shape:
        raise UserError(
            f"blurted, worked and correct have the shapes {blurted.shape}, {worked.shape} and {correct.shape}",
            "give arrays of the same samples",
        )
    if not all(np.isin(array, (0, 1)).all() for array in (blurted, worked, correct)):
        raise UserError("blurted, worked or correct has values other than 0 and 1", "give single samples")
    if not blurted.sum() or not worked.sum():
        raise UserError(
            "no answer of the base model has one of the two styles, so its competence is unknown", "give more samples"
        )
    given_P = (blurted + worked).sum(axis=(1, 2))
    share_P = blurted.sum(axis=(1, 2)) / np.maximum(given_P, 1)
    competence_N2 = np.stack([_competence(correct, worked), _competence(correct, blurted)], axis=1)
    prior_P12 = np.stack([1 - share_P, share_P], axis=1)[:, None, :]
    posterior: Floats = style_posterior(prior_P12, competence_N2[None], beta)[..., 1].mean(axis=1)
    return posterior


def _competence(correct: Floats, styled: Floats) -> Floats:
    """Estimate a style's accuracy on each problem, shape (N,), shrunk towards its mean by one pseudo-answer."""
    right_N, number_N = (correct * styled).sum(axis=(0, 1)), styled.sum(axis=(0, 1))
    mean = right_N.sum() / number_N.sum()
    competence: Floats = (right_N + mean) / (number_N + 1)
    return competence
