"""Theory against measurement: the fit recovers a known KL coefficient, and the styles follow Eq. 3."""

import numpy as np
import pytest
from numpy.typing import NDArray

from permix_verl.errors import UserError
from permix_verl.lab.theory_fit import SAME_ACCURACY, SAME_GAIN, THEORY, fit_closed_form, predicted_blurting
from permix_verl.statistics.closed_form import optimal_accuracy

P, N = 6, 400
Floats = NDArray[np.float64]
SHARE = np.linspace(0.1, 0.85, P)[:, None]


def competence(seed: int) -> tuple[Floats, Floats]:
    """Sample the competence of worked and of blurted answers on each problem, (N,)."""
    rng = np.random.default_rng(seed)
    return rng.beta(6, 1, N), rng.beta(0.8, 2, N)


def chances(seed: int) -> Floats:
    """Accuracy of each persona on each problem, (P, N): personas between mostly worked and mostly blurted answers."""
    worked, blurted = competence(seed)
    return (1 - SHARE) * worked + SHARE * blurted


def answers(chance_PN: Floats, runs: int, seed: int) -> Floats:
    rng = np.random.default_rng([seed, 1])
    return (rng.random((len(chance_PN), runs, chance_PN.shape[1])) < chance_PN[:, None]).astype(float)


@pytest.mark.parametrize("beta", [0.3, 0.6, 1.5])
def test_the_fit_recovers_the_known_coefficient(beta: float) -> None:
    chance = chances(0)
    fit = fit_closed_form(answers(chance, 16, 2), answers(optimal_accuracy(chance, beta), 16, 3), splits=2)
    assert fit.beta == pytest.approx(beta, rel=0.15)
    assert np.allclose(fit.betas, beta, rtol=0.25)
    assert fit.identified
    assert fit.errors[THEORY] < 0.03
    assert fit.errors[THEORY] < 0.75 * fit.errors[SAME_GAIN]
    assert fit.predicted_P == pytest.approx(fit.measured_P, abs=0.03)


def test_the_theory_does_not_win_if_rl_equalizes_all_personas() -> None:
    """Negative control: the comparison can go the other way."""
    worked = np.tile(competence(0)[0], (P, 1))
    fit = fit_closed_form(answers(chances(0), 8, 2), answers(worked, 8, 3), splits=3)
    assert fit.errors[SAME_ACCURACY] < 0.5 * fit.errors[THEORY]
    assert fit.wins[SAME_ACCURACY] == 0


@pytest.mark.parametrize("trained", ["unchanged", "worse", "perfect"])
def test_a_fit_without_data_is_reported(trained: str) -> None:
    identified = 0
    for seed in range(8):
        base = answers(chances(0), 4, 100 + seed)
        factor = {"unchanged": 1.0, "worse": 0.9, "perfect": 0.0}[trained]
        after = answers(chances(0) * factor, 4, 200 + seed) if factor else np.ones_like(base)
        identified += fit_closed_form(base, after, splits=2).identified
    assert identified <= 1


def test_the_error_is_computed_on_problems_outside_the_fit() -> None:
    base, trained = answers(chances(1), 4, 5), answers(optimal_accuracy(chances(1), 0.5), 4, 6)
    fit = fit_closed_form(base, trained, seed=7, splits=1)
    second = np.random.default_rng(7).permutation(N)[N // 2 :]
    spoiled = trained.copy()
    spoiled[:, :, second] = 0
    again = fit_closed_form(base, spoiled, seed=7, splits=1)
    assert again.betas[0] == fit.betas[0], "fitted on the other half alone"
    assert again.errors[THEORY] > 0.3


@pytest.mark.parametrize(
    ("base_runs", "problems", "said"),
    [(2, N - 1, "the base has 6 personas and 400 problems, the trained model 6 and 399"),
     (1, N, "the base has 1 run; give at least 2")],
)  # fmt: skip
def test_invalid_fits_are_refused(base_runs: int, problems: int, said: str) -> None:
    trained = answers(chances(0), 2, 0)[:, :, :problems]
    with pytest.raises(UserError, match=said):
        fit_closed_form(answers(chances(0), base_runs, 0), trained)


def styled(seed: int) -> tuple[Floats, Floats, Floats]:
    """Sample blurted, worked and correct, each (P, R, N), for styles whose competence varies by problem."""
    rng = np.random.default_rng(seed)
    worked, hasty = competence(seed)
    blurted = rng.random((P, 40, N)) < SHARE[:, None]
    correct = rng.random((P, 40, N)) < np.where(blurted, hasty, worked)
    return blurted.astype(float), (~blurted).astype(float), correct.astype(float)


def posterior(beta: float, worked: Floats, hasty: Floats) -> Floats:
    factor = np.exp(1 / beta) - 1
    weight = SHARE * (1 + hasty * factor)
    share: Floats = (weight / (weight + (1 - SHARE) * (1 + worked * factor))).mean(axis=1)
    return share


@pytest.mark.parametrize("beta", [0.4, 1.0])
def test_blurting_falls_by_eq_3_problem_by_problem(beta: float) -> None:
    predicted = predicted_blurting(*styled(0), beta)
    worked, hasty = competence(0)
    assert predicted == pytest.approx(posterior(beta, worked, hasty), abs=0.025)


def test_averaging_competences_first_is_detected() -> None:
    """Negative control of the comparison above."""
    worked, hasty = competence(0)
    averaged_first = posterior(0.4, np.full(N, worked.mean()), np.full(N, hasty.mean()))
    assert abs(predicted_blurting(*styled(0), 0.4) - averaged_first).max() > 0.03


def test_without_a_pull_the_styles_stay() -> None:
    blurted, worked, correct = styled(1)
    assert predicted_blurting(blurted, worked, correct, 1e6) == pytest.approx(blurted.mean(axis=(1, 2)), abs=1e-4)


def test_missing_answers_do_not_count_as_blurted() -> None:
    blurted, worked, correct = styled(1)
    lost = np.random.default_rng(0).random(blurted.shape) < 0.5
    predicted = predicted_blurting(blurted * ~lost, worked * ~lost, correct * ~lost, 1.0)
    assert predicted == pytest.approx(predicted_blurting(blurted, worked, correct, 1.0), abs=0.03)


def test_arrays_of_other_samples_or_without_a_style_are_refused() -> None:
    blurted, worked, correct = styled(1)
    with pytest.raises(UserError, match=r"shapes \(6, 1, 400\), \(6, 40, 400\) and"):
        predicted_blurting(blurted[:, :1], worked, correct, 1.0)
    with pytest.raises(UserError, match="other than 0 and 1"):
        predicted_blurting(blurted / 2, worked, correct, 1.0)
    with pytest.raises(UserError, match="one of the two styles"):
        predicted_blurting(np.zeros_like(blurted), worked, correct, 1.0)
