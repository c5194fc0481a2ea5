"""Tests of the statistics: against brute force, against known truth, and for refusals."""

from itertools import combinations, permutations

import numpy as np
import pytest

from permix_verl import UserError, statistics

from ...support.simulated import P, Scenario, coverage

GENERATOR = np.random.default_rng(0)
SMALL = (GENERATOR.random((4, 3, 7)) < 0.6).astype(float)


def test_pss_is_worst_over_best() -> None:
    assert float(statistics.pss([0.42, 0.36, 0.6])) == pytest.approx(0.6)
    assert statistics.pss([[0.5, 0.2], [1.0, 0.2]]).tolist() == [0.5, 1.0]
    assert np.isnan(statistics.pss([0.0, 0.0]))
    assert float(statistics.pss([0.0, 0.1])) == 0.0


def test_the_two_pss_of_the_paper_differ_as_they_should() -> None:
    """Two personas alternate between runs: equal on average, different in every run."""
    correct = np.array([[[1, 1, 1, 1], [1, 1, 0, 0]], [[1, 1, 0, 0], [1, 1, 1, 1]]])
    assert float(statistics.pss(statistics.persona_accuracy(correct))) == 1.0
    assert statistics.mean_of_run_pss(correct) == 0.5
    assert statistics.run_std(correct) == pytest.approx([0.25 * np.sqrt(2)] * 2)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((2, 3)), r"shape \(2, 3\); give \(personas, runs, problems\)"),
        (np.zeros((1, 3, 4)), "at least two personas"),
        (np.zeros((2, 0, 4)), "one run and one problem"),
        (np.full((2, 1, 1), 2.0), r"outside \[0, 1\]"),
        (np.full((2, 1, 1), np.nan), r"outside \[0, 1\]"),
    ],
)
def test_invalid_correctness_arrays_are_refused(array: np.ndarray, message: str) -> None:
    with pytest.raises(UserError, match=message):
        statistics.persona_accuracy(array)


def test_tied_personas_are_chosen_equally_often() -> None:
    chosen_by, scored = [0.2 + 0.4, 0.6, 0.4], [0.7, 0.3, 0.2]  # a tie but for rounding
    assert statistics.best_of_k(chosen_by, scored) == pytest.approx([0.4, (0.5 + 0.5 + 0.5) / 3, 0.5])
    assert statistics.best_of_k(chosen_by[::-1], scored[::-1]) == pytest.approx(statistics.best_of_k(chosen_by, scored))
    correct = (np.random.default_rng(3).random((6, 2, 9)) < 0.3).astype(float)
    for best in (True, False):
        reversed_order = statistics.cross_fitted_scores(correct[::-1], seed=0, best=best)
        assert statistics.cross_fitted_scores(correct, seed=0, best=best) == pytest.approx(reversed_order)


@pytest.mark.parametrize("accuracy", [[0.1, 0.5, 0.3, 0.9], [0.5, 0.5, 0.2, 0.5], [0.0, 0.0, 0.0, 0.0]])
def test_best_of_k_is_the_mean_over_all_subsets(accuracy: list[float]) -> None:
    expected = [np.mean([max(subset) for subset in combinations(accuracy, k)]) for k in range(1, 5)]
    assert statistics.best_of_k(accuracy) == pytest.approx(expected)


def test_best_of_k_with_other_scores_scores_the_chosen_persona() -> None:
    chosen_by, scored = [0.1, 0.4, 0.3], [0.9, 0.2, 0.6]
    expected = [
        np.mean([scored[max(subset, key=chosen_by.__getitem__)] for subset in combinations(range(3), k)])
        for k in (1, 2, 3)
    ]
    assert statistics.best_of_k(chosen_by, scored) == pytest.approx(expected)


def test_leave_one_out_identifies_the_decisive_persona() -> None:
    assert statistics.leave_one_out_pss([0.2, 0.8, 0.8]) == pytest.approx([1.0, 0.25, 0.25])


def test_flip_rates_are_those_of_all_pairs_of_completions() -> None:
    across: list[bool] = []
    within: list[bool] = []
    for problem in range(7):
        completions = [(persona, SMALL[persona, run, problem]) for persona in range(4) for run in range(3)]
        for (first, a), (second, b) in permutations(completions, 2):
            (within if first == second else across).append(a != b)
    result = statistics.flip_rates(SMALL)
    # All problems have equally many pairs, so the mean of means is the overall mean.
    assert (result.across, result.within) == pytest.approx((np.mean(across), np.mean(within)))
    assert np.isnan(statistics.flip_rates(SMALL[:, :1]).within)


def test_the_bootstrap_is_clustered_by_problem() -> None:
    correct = Scenario("one bad", 0.6, 200, 0.5).sample(np.random.default_rng(1))
    resampled = statistics.bootstrap_accuracy(correct, 20_000, seed=0)
    assert resampled.shape == (20_000, P)
    assert resampled.mean(axis=0) == pytest.approx(statistics.persona_accuracy(correct), abs=2e-3)
    expected = statistics.cluster_covariance(correct) * 199 / 200
    assert np.abs(np.cov(resampled.T) / expected - 1).max() < 0.1
    assert (
        statistics.bootstrap_accuracy(correct, 50, seed=3) == statistics.bootstrap_accuracy(correct, 50, seed=3)
    ).all()


def test_the_persona_sd_is_free_of_noise_on_average() -> None:
    """On average over data sets; the measured spread alone would be three times as large."""
    alike, apart = Scenario("one bad", 1.0, 100, 0.5), Scenario("halves", 0.6, 100, 0.5)
    result = [
        [statistics.persona_sd(scenario.sample(np.random.default_rng([2, n]))) ** 2 for n in range(200)]
        for scenario in (alike, apart)
    ]
    true = (apart.factors() * apart.mean).var(ddof=1)
    assert np.mean(result[1]) == pytest.approx(true, rel=0.05)
    measured = np.mean(
        [statistics.persona_accuracy(alike.sample(np.random.default_rng([2, n]))).var(ddof=1) for n in range(200)]
    )
    assert np.mean(result[0]) < 0.35 * measured  # clipped at 0, so slightly positive


def test_the_cross_fitted_worst_is_unbiased_for_its_persona() -> None:
    """With equal personas the plain worst is biased downwards; the cross-fitted worst is not."""
    scenario = Scenario("one bad", 1.0, 200, 0.5)
    plain, fitted = [], []
    for number in range(150):
        correct = scenario.sample(np.random.default_rng([4, number]))
        plain.append(statistics.persona_accuracy(correct).min())
        fitted.append(statistics.cross_fitted_worst(correct, seed=number).estimate)
    error = np.std(fitted) / np.sqrt(150)
    assert np.mean(plain) < 0.5 - 5 * error
    assert abs(np.mean(fitted) - 0.5) < 3 * error


@pytest.mark.parametrize(
    ("scenario", "printed"),
    [
        (Scenario("one bad", 1.0, 500, 0.47), True),
        (Scenario("one bad", 0.7, 1319, 0.86), True),
        (Scenario("spread", 0.9, 500, 0.47), True),
        (Scenario("halves", 0.5, 500, 0.47), True),
        (Scenario("halves", 0.8, 30, 0.24), False),
    ],
    ids=str,
)
def test_intervals_cover_their_estimands(scenario: Scenario, printed: bool) -> None:
    """Short form of tests/soak/test_calibration.py: 95 % of 60 data sets is 57, and fewer than 52 are rare."""
    result = coverage(scenario, data_sets=60, seed=11)
    assert result["pss"].printed == (60 if printed else 0)
    for interval in result.values():
        if interval.printed:
            assert interval.fraction >= 52 / 60, {name: str(value) for name, value in result.items()}


def test_a_percentile_bootstrap_does_not_cover_near_1() -> None:
    """Negative control of the coverage test: it detects an interval that does not cover."""
    covered = 0
    for number in range(40):
        correct = Scenario("one bad", 1.0, 500, 0.47).sample(np.random.default_rng([11, number]))
        resampled = statistics.pss(statistics.bootstrap_accuracy(correct, 400, seed=number).T)
        covered += bool(np.quantile(resampled, 0.025) <= 1.0 <= np.quantile(resampled, 0.975))
    assert covered == 0


def test_intervals_contain_their_estimate_and_ignore_the_order_of_personas() -> None:
    for pss in (0.5, 0.95, 1.0):
        correct = Scenario("two bad", pss, 400, 0.5).sample(np.random.default_rng(5))
        result = statistics.pss_interval(correct, seed=1)
        reversed_order = statistics.pss_interval(correct[::-1], seed=1)
        assert result.low is not None
        assert result.high is not None
        assert result.low <= result.estimate <= result.high <= 1.0
        assert (result.low, result.high) == pytest.approx((reversed_order.low, reversed_order.high), abs=5e-3)


@pytest.mark.parametrize(
    ("correct", "reason"),
    [
        (np.ones((3, 2, 400)), "neither always right nor always wrong"),
        (np.tile(np.arange(400) % 2, (3, 2, 1)), "0 problems are neither"),
        (Scenario("one bad", 0.02, 500, 0.5).sample(np.random.default_rng(0)), "worst persona solves"),
    ],
)
def test_a_pss_interval_without_enough_data_is_refused(correct: np.ndarray, reason: str) -> None:
    result = statistics.pss_interval(correct, seed=0)
    assert (result.low, result.high) == (None, None)
    assert reason in str(result.refused)


def test_a_mean_on_few_problems_or_at_the_edge_is_refused() -> None:
    assert "10 problems" in str(statistics.mean_interval(SMALL.repeat(2, axis=2)[:, :, :10]).refused)
    assert "at an accuracy above 0.8" in str(statistics.cluster_interval([1.0] * 25 + [0.0] * 5, "x").refused)
    assert "all problems score the same" in str(statistics.cluster_interval([0.7] * 101, "x").refused)
    assert "too few problems on which" in str(statistics.paired_interval([0.0] * 499 + [1.0], [0.0] * 500, "x").refused)
    assert "too few right answers" in str(statistics.cluster_interval([0.0] * 399 + [1.0], "x").refused)
    assert statistics.cluster_interval([0.0, 1.0] * 20, "x").refused is None
