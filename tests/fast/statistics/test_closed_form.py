"""Tests of the closed form: against its formula and the claims of Proposition 1."""

import mpmath
import numpy as np
import pytest

from permix_verl import UserError
from permix_verl.statistics import closed_form

CHANCES = np.array([0.0, 0.01, 0.2, 0.5, 0.9, 1.0])


@pytest.mark.parametrize("beta", [0.1, 0.5, 1.0, 10.0])
def test_the_shift_in_logits_is_the_papers_formula(beta: float) -> None:
    k = np.exp(1 / beta) - 1
    assert closed_form.optimal_accuracy(CHANCES, beta) == pytest.approx(CHANCES * (1 + k) / (1 + k * CHANCES))


def test_it_does_not_overflow_and_leaves_0_and_1() -> None:
    assert closed_form.optimal_accuracy(CHANCES, 1e-4).tolist() == [0, 1, 1, 1, 1, 1]
    assert closed_form.optimal_accuracy(CHANCES, 1e9) == pytest.approx(CHANCES)


def test_per_problem_accuracy_and_pss_only_rise() -> None:
    for beta in (0.2, 1.0, 5.0):
        after = closed_form.optimal_accuracy(CHANCES, beta)
        assert (after >= CHANCES).all()
        pairs = [(low, high) for low in CHANCES for high in CHANCES if 0 < low < high]
        for low, high in pairs:
            a, b = closed_form.optimal_accuracy([low, high], beta)
            assert a / b >= low / high
            k = np.exp(1 / beta) - 1
            assert a / b == pytest.approx(low / high * (1 + k * high) / (1 + k * low))


def test_averaging_first_gives_another_number() -> None:
    """The proposition does not hold for means over problems of uneven difficulty."""
    chances = np.array([0.0, 0.0, 0.3, 1.0])
    per_problem = closed_form.optimal_accuracy(chances, 0.3).mean()
    assert abs(per_problem - closed_form.optimal_accuracy(chances.mean(), 0.3)) > 0.2


def test_the_style_posterior_is_eq_3() -> None:
    prior, competence, beta = np.array([0.5, 0.3, 0.2]), np.array([0.1, 0.9, 0.0]), 0.5
    weight = prior * (1 + (np.exp(1 / beta) - 1) * competence)
    assert closed_form.style_posterior(prior, competence, beta) == pytest.approx(weight / weight.sum())
    # Nearly all probability goes to competent styles, without overflow.
    assert closed_form.style_posterior(prior, competence, 1e-3) == pytest.approx(np.array([0.05, 0.27, 0.0]) / 0.32)


def test_smoothed_predictions_are_less_biased_than_plug_in_ones() -> None:
    generator = np.random.default_rng(0)
    chance = generator.beta(0.4, 0.6, 4000)
    correct = generator.random((2, 5, 4000)) < chance
    for beta in (0.2, 0.5, 2.0):
        truth = closed_form.optimal_accuracy(chance, beta).mean()
        smoothed = closed_form.predicted_accuracy(correct, beta)
        plug_in = closed_form.predicted_accuracy(correct, beta, smoothed=False)
        assert smoothed == pytest.approx(truth, abs=0.025)
        assert (np.abs(plug_in - truth) > np.abs(smoothed - truth)).all()


@pytest.mark.parametrize("right", [[0, 1, 2, 5, 5, 3], [0] * 40 + [1], [0, 0, 0, 0], [5, 5, 5], [0, 5] * 20])
def test_the_smoothed_prediction_is_the_beta_posterior_mean(right: list[int]) -> None:
    """Compare with the integral's closed form, also with nearly all probability at 0 or at 1."""
    a, b = closed_form._fit_beta(np.array(right, dtype=float), 5)
    for beta in (0.1, 0.5, 3.0):
        k = np.exp(1 / beta) - 1
        # E[(1 + K) p / (1 + K p)] for a beta distribution is a hypergeometric function.
        expected = [(1 + k) * (a + r) / (a + b + 5) * float(mpmath.hyp2f1(1, a + r + 1, a + b + 6, -k)) for r in right]
        assert closed_form._smoothed(np.array(right, dtype=float), 5, beta) == pytest.approx(
            np.mean(expected), abs=1e-4
        )


def test_invalid_predictions_are_refused() -> None:
    with pytest.raises(UserError, match="values other than 0 and 1"):
        closed_form.predicted_accuracy(np.full((2, 2, 3), 0.5), 1.0)
    with pytest.raises(UserError, match="smoothed predictions need at least"):
        closed_form.predicted_accuracy(np.ones((2, 2, 3)), 1e-9)
    with pytest.raises(UserError, match="the prior is 0 for all styles"):
        closed_form.style_posterior([0.0, 0.0], [0.5, 0.5], 1.0)
    assert closed_form.style_posterior([0.3, 0.7], [0.0, 0.0], 1e-3) == pytest.approx([0.3, 0.7])


@pytest.mark.parametrize("beta", [0.0, -1.0, float("nan")])
def test_an_invalid_kl_coefficient_is_refused(beta: float) -> None:
    with pytest.raises(UserError, match="it must be above 0"):
        closed_form.optimal_accuracy(0.5, beta)
