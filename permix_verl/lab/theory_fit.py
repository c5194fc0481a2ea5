"""The paper's theory against what RL did: accuracies from Proposition 1, style shares from Eq. 3.

The KL coefficient of the theory is that of a sequence-level penalty in units of the reward, and a trainer's
per-token coefficient is another number, so it is fitted: on one half of the problems, and judged on the
other, both ways round and over several splits. Beside it stand three baselines, each with one fitted
number as well. A constant gain is easily beaten. Where RL makes all personas alike, one accuracy for all
is the better description, and the theory is not borne out. The third is the theory's own shift, applied to the
personas' means: wrong in theory, but free of the noise of single problems, so that with few runs of the base it
fits better even where the proposition holds exactly. It says how much the problems' detail is worth, no more.
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

SMALLEST, LARGEST = 0.02, 50.0
"""KL coefficients that are tried: from "all that can be solved is" to "nothing moved"."""
SPLITS = 5
MIN_RUNS = 2
"""Of the base: one run says nothing of how difficulty is spread, and the coefficient comes out at half."""
MIN_PROBLEMS = 20

THEORY = "closed form, per problem"
GAIN = "the same gain for every persona"
ONE = "one accuracy for every persona"
SHIFT = "the same shift in logits of every persona's mean"


@dataclass(frozen=True)
class Fit:
    """Theory and baselines, fitted on one half of the problems and judged on the other.

    Attributes:
        beta: the KL coefficient fitted on all problems.
        betas: those fitted on the halves.
        identified: False where mean accuracy has not risen by more than chance, where the halves' coefficients differ
            by more than a factor of three, or where they lie at an end of what is tried.
        measured_P: the trained model's accuracies.
        predicted_P: by the theory, from halves that the coefficient was not fitted on, averaged over splits.
        errors: root mean square over personas, halves and splits, by name: :data:`THEORY`, :data:`GAIN`, :data:`ONE`,
            :data:`SHIFT`.
        wins: share of splits in which the theory's error is below that of each baseline; splits of one data set are no
            independent trials.
        noise: root mean square standard error of a persona's measured accuracy on a half, problems drawn anew. No
            floor of the errors: these compare models on the same problems, and carry the base's noise.
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
    """Fit Proposition 1's KL coefficient.

    Args:
        base_PRN, trained_PRN: 0/1 correctness of the base and of the trained model under the same personas
            and on the same problems, in the same order; runs may differ in number.
        seed: of the splits of the problems in two halves.

    Raises:
        UserError: other personas or problems, too few problems, or a base with one run.
    """
    base, trained = as_correct(base_PRN), as_correct(trained_PRN)
    if base.shape[::2] != trained.shape[::2] or base.shape[2] < MIN_PROBLEMS:
        raise UserError(
            f"the base has {base.shape[0]} personas and {base.shape[2]} problems, the trained model {trained.shape[0]} "
            f"and {trained.shape[2]}; both need the same, and at least {MIN_PROBLEMS} problems"
        )
    if base.shape[1] < MIN_RUNS:
        raise UserError(
            f"the base has {base.shape[1]} run; give at least {MIN_RUNS}, as one does not tell how difficulty is spread"
        )
    squares: dict[str, list[float]] = {name: [] for name in (THEORY, *_BASELINES)}
    predicted, betas = [], []
    generator = np.random.default_rng(seed)
    for _ in range(splits):
        order = generator.permutation(base.shape[2])
        halves = order[: len(order) // 2], order[len(order) // 2 :]
        found: dict[str, list[Floats]] = {name: [] for name in squares}
        for fitted, judged in (halves, halves[::-1]):
            target_P, measured_P = (trained[:, :, half].mean(axis=(1, 2)) for half in (fitted, judged))
            beta = _fit_beta(base[:, :, fitted], target_P)
            betas.append(beta)
            predicted.append(predicted_accuracy(base[:, :, judged], beta))
            found[THEORY].append(predicted[-1] - measured_P)
            before_P, now_P = (base[:, :, half].mean(axis=(1, 2)) for half in (fitted, judged))
            for name, baseline in _BASELINES.items():
                found[name].append(baseline(before_P, target_P, now_P) - measured_P)
        for name, errors in found.items():
            squares[name].append(float(np.mean(np.square(errors))))
    beta = _fit_beta(base, trained.mean(axis=(1, 2)))
    return Fit(
        beta=beta,
        betas=tuple(betas),
        identified=_has_risen(base, trained) and min(betas) > 1.5 * SMALLEST and max(betas) < 3 * min(betas),
        measured_P=trained.mean(axis=(1, 2)),
        predicted_P=np.mean(predicted, axis=0),
        errors={name: float(np.sqrt(np.mean(values))) for name, values in squares.items()},
        wins={name: float(np.mean(np.less(squares[THEORY], squares[name]))) for name in _BASELINES},
        noise=float(np.sqrt(2 * np.diag(cluster_covariance(trained)).mean())),
    )


def _has_risen(base: Floats, trained: Floats) -> bool:
    change = paired_interval(trained.mean(axis=(0, 1)), base.mean(axis=(0, 1)), "rise of the mean accuracy")
    return change.low is not None and change.low > 0


def _fit_beta(base_PRN: Floats, target_P: Floats) -> float:
    def loss(log_beta: float) -> float:
        return float(((predicted_accuracy(base_PRN, float(np.exp(log_beta))) - target_P) ** 2).mean())

    return float(np.exp(_minimum(loss, np.log(SMALLEST), np.log(LARGEST))))


def _minimum(loss: Callable[[float], float], low: float, high: float) -> float:
    return float(minimize_scalar(loss, bounds=(low, high), method="bounded").x)


def _same_gain(before_P: Floats, target_P: Floats, now_P: Floats) -> Floats:
    gain = _minimum(lambda g: float(((np.clip(before_P + g, 0, 1) - target_P) ** 2).mean()), -1, 1)
    after: Floats = np.clip(now_P + gain, 0, 1)
    return after


def _one_accuracy(before_P: Floats, target_P: Floats, now_P: Floats) -> Floats:
    return np.full_like(now_P, target_P.mean())


def _same_shift(before_P: Floats, target_P: Floats, now_P: Floats) -> Floats:
    before, now = (logit(np.clip(accuracy, 1e-6, 1 - 1e-6)) for accuracy in (before_P, now_P))
    shift = _minimum(lambda s: float(((expit(before + s) - target_P) ** 2).mean()), -20, 50)
    after: Floats = expit(now + shift)
    return after


_BASELINES: Mapping[str, Callable[[Floats, Floats, Floats], Floats]] = {
    GAIN: _same_gain,
    ONE: _one_accuracy,
    SHIFT: _same_shift,
}


def predicted_blurting(blurted_PRN: ArrayLike, worked_PRN: ArrayLike, correct_PRN: ArrayLike, beta: float) -> Floats:
    """Share of blurted answers among those given, under each persona after RL (Eq. 3), shape (P,).

    Styles are two, worked and blurted. Their shares are the base's under each persona, the same on every problem,
    as the lab's base is trained to have them; their competence is measured on each problem over all personas, as in the
    theory it does not depend on the persona. The posterior is formed per problem and averaged. Competence is
    estimated from few answers: below a coefficient of about 0.2 its error is magnified.

    Args:
        blurted_PRN, worked_PRN, correct_PRN: of the base model, 0/1, see ``permix_verl.lab.voice.Fidelity``.
        beta: KL coefficient.

    Raises:
        UserError: arrays of different shapes or not 0/1, or a style that no answer has.
    """
    blurted, worked, correct = (as_correct(array) for array in (blurted_PRN, worked_PRN, correct_PRN))
    if not blurted.shape == worked.shape == correct.shape:
        raise UserError(
            f"blurted, worked and correct have the shapes {blurted.shape}, {worked.shape} and {correct.shape}; give "
            "those of the same samples"
        )
    if not all(np.isin(array, (0, 1)).all() for array in (blurted, worked, correct)):
        raise UserError("blurted, worked or correct holds values other than 0 and 1; give single samples")
    if not blurted.sum() or not worked.sum():
        raise UserError("no answer of the base model has one of the two styles; its competence cannot be measured")
    given_P = (blurted + worked).sum(axis=(1, 2))
    share_P = blurted.sum(axis=(1, 2)) / np.maximum(given_P, 1)
    competence_N2 = np.stack([_competence(correct, worked), _competence(correct, blurted)], axis=1)
    prior_P12 = np.stack([1 - share_P, share_P], axis=1)[:, None, :]
    posterior: Floats = style_posterior(prior_P12, competence_N2[None], beta)[..., 1].mean(axis=1)
    return posterior


def _competence(correct: Floats, styled: Floats) -> Floats:
    """Each problem's share of right answers in a style, shape (N,), drawn towards the style's mean by one answer."""
    right_N, number_N = (correct * styled).sum(axis=(0, 1)), styled.sum(axis=(0, 1))
    mean = right_N.sum() / number_N.sum()
    competence: Floats = (right_N + mean) / (number_N + 1)
    return competence
