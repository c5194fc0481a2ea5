"""The statistics against brute force, against known truth, and where they must refuse."""

from itertools import combinations, permutations
from typing import Literal

import numpy as np
import pytest

from permix_verl import UserError, statistics

from ..simulated import P, R, Scenario, coverage

GENERATOR = np.random.default_rng(0)
SMALL = (GENERATOR.random((4, 3, 7)) < 0.6).astype(float)


def test_pss_is_worst_over_best() -> None:
    assert float(statistics.pss([0.42, 0.36, 0.6])) == pytest.approx(0.6)
    assert statistics.pss([[0.5, 0.2], [1.0, 0.2]]).tolist() == [0.5, 1.0]
    assert np.isnan(statistics.pss([0.0, 0.0]))
    assert float(statistics.pss([0.0, 0.1])) == 0.0


def test_the_two_pss_of_the_paper_differ_as_they_should() -> None:
    """Two personas that change places from run to run: alike on average, never alike in a run."""
    correct = np.array([[[1, 1, 1, 1], [1, 1, 0, 0]], [[1, 1, 0, 0], [1, 1, 1, 1]]])
    assert float(statistics.pss(statistics.persona_accuracy(correct))) == 1.0
    assert statistics.mean_of_run_pss(correct) == 0.5
    assert statistics.run_std(correct) == pytest.approx([0.25 * np.sqrt(2)] * 2)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((2, 3)), r"shape \(2, 3\); give \(personas, runs, problems\)"),
        (np.zeros((1, 3, 4)), "at least two personas"),
        (np.zeros((2, 0, 4)), "one of the others"),
        (np.full((2, 1, 1), 2.0), "not between 0 and 1"),
        (np.full((2, 1, 1), np.nan), "not between 0 and 1"),
    ],
)
def test_arrays_that_are_no_correctness_are_refused(array: np.ndarray, message: str) -> None:
    with pytest.raises(UserError, match=message):
        statistics.persona_accuracy(array)


def test_personas_that_tie_are_chosen_alike_often() -> None:
    chosen_by, scored = [0.2 + 0.4, 0.6, 0.4], [0.7, 0.3, 0.2]  # a tie that floats do not see
    assert statistics.best_of_k(chosen_by, scored) == pytest.approx([0.4, (0.5 + 0.5 + 0.5) / 3, 0.5])
    assert statistics.best_of_k(chosen_by[::-1], scored[::-1]) == pytest.approx(statistics.best_of_k(chosen_by, scored))
    correct = (np.random.default_rng(3).random((6, 2, 9)) < 0.3).astype(float)
    for best in (True, False):
        turned = statistics.cross_fitted_scores(correct[::-1], seed=0, best=best)
        assert statistics.cross_fitted_scores(correct, seed=0, best=best) == pytest.approx(turned)


@pytest.mark.parametrize("accuracy", [[0.1, 0.5, 0.3, 0.9], [0.5, 0.5, 0.2, 0.5], [0.0, 0.0, 0.0, 0.0]])
def test_best_of_k_is_the_mean_over_all_subsets(accuracy: list[float]) -> None:
    expected = [np.mean([max(subset) for subset in combinations(accuracy, k)]) for k in range(1, 5)]
    assert statistics.best_of_k(accuracy) == pytest.approx(expected)


def test_best_of_k_scored_elsewhere_scores_the_chosen_one() -> None:
    chosen_by, scored = [0.1, 0.4, 0.3], [0.9, 0.2, 0.6]
    expected = [
        np.mean([scored[max(subset, key=chosen_by.__getitem__)] for subset in combinations(range(3), k)])
        for k in (1, 2, 3)
    ]
    assert statistics.best_of_k(chosen_by, scored) == pytest.approx(expected)


def test_leaving_one_out_names_the_persona_that_decides() -> None:
    assert statistics.leave_one_out_pss([0.2, 0.8, 0.8]) == pytest.approx([1.0, 0.25, 0.25])


def test_flip_rates_are_those_of_all_pairs_of_answers() -> None:
    across: list[bool] = []
    within: list[bool] = []
    for problem in range(7):
        answers = [(persona, SMALL[persona, run, problem]) for persona in range(4) for run in range(3)]
        for (first, a), (second, b) in permutations(answers, 2):
            (within if first == second else across).append(a != b)
    found = statistics.flip_rates(SMALL)
    # Every problem has the same number of pairs, so the mean of means is the mean.
    assert (found.across, found.within) == pytest.approx((np.mean(across), np.mean(within)))
    assert np.isnan(statistics.flip_rates(SMALL[:, :1]).within)


def test_the_bootstrap_is_clustered_by_problem() -> None:
    correct = Scenario("one bad", 0.6, 200, 0.5).draw(np.random.default_rng(1))
    drawn = statistics.bootstrap_accuracy(correct, 20_000, seed=0)
    assert drawn.shape == (20_000, P)
    assert drawn.mean(axis=0) == pytest.approx(statistics.persona_accuracy(correct), abs=2e-3)
    expected = statistics.cluster_covariance(correct) * 199 / 200
    assert np.abs(np.cov(drawn.T) / expected - 1).max() < 0.1
    assert (
        statistics.bootstrap_accuracy(correct, 50, seed=3) == statistics.bootstrap_accuracy(correct, 50, seed=3)
    ).all()


def test_the_persona_sd_is_free_of_noise_on_average() -> None:
    """Over data sets, not in one: the measured spread alone would be three times as large."""
    alike, apart = Scenario("one bad", 1.0, 100, 0.5), Scenario("halves", 0.6, 100, 0.5)
    found = [
        [statistics.persona_sd(scenario.draw(np.random.default_rng([2, n]))) ** 2 for n in range(200)]
        for scenario in (alike, apart)
    ]
    true = (apart.factors() * apart.mean).var(ddof=1)
    assert np.mean(found[1]) == pytest.approx(true, rel=0.05)
    measured = np.mean(
        [statistics.persona_accuracy(alike.draw(np.random.default_rng([2, n]))).var(ddof=1) for n in range(200)]
    )
    assert np.mean(found[0]) < 0.35 * measured  # cut off at 0, so a little above it


def test_a_cross_fitted_worst_is_not_lower_than_its_persona_is() -> None:
    """Where personas are alike the plain worst is too low, by the luck of the draw; the cross-fitted one is not."""
    scenario = Scenario("one bad", 1.0, 200, 0.5)
    plain, fitted = [], []
    for number in range(150):
        correct = scenario.draw(np.random.default_rng([4, number]))
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
def test_intervals_cover_what_they_name(scenario: Scenario, printed: bool) -> None:
    """A short form of tests/soak/test_calibration.py: of 60 data sets, 95 % is 57, and seldom fewer than 52."""
    found = coverage(scenario, data_sets=60, seed=11)
    assert found["pss"].printed == (60 if printed else 0)
    for interval in found.values():
        if interval.printed:
            assert interval.share >= 52 / 60, {name: str(value) for name, value in found.items()}


def test_a_percentile_bootstrap_would_fail_where_this_holds() -> None:
    """Negative control of the coverage test: it sees an interval that does not cover."""
    covered = 0
    for number in range(40):
        correct = Scenario("one bad", 1.0, 500, 0.47).draw(np.random.default_rng([11, number]))
        drawn = statistics.pss(statistics.bootstrap_accuracy(correct, 400, seed=number).T)
        covered += bool(np.quantile(drawn, 0.025) <= 1.0 <= np.quantile(drawn, 0.975))
    assert covered == 0


def test_intervals_hold_their_estimate_and_ignore_the_order_of_personas() -> None:
    for pss in (0.5, 0.95, 1.0):
        correct = Scenario("two bad", pss, 400, 0.5).draw(np.random.default_rng(5))
        found = statistics.pss_interval(correct, seed=1)
        turned = statistics.pss_interval(correct[::-1], seed=1)
        assert found.low is not None
        assert found.high is not None
        assert found.low <= found.estimate <= found.high <= 1.0
        assert (found.low, found.high) == pytest.approx((turned.low, turned.high), abs=5e-3)


@pytest.mark.parametrize(
    ("correct", "reason"),
    [
        (np.ones((3, 2, 400)), "neither always right nor always wrong"),
        (np.tile(np.arange(400) % 2, (3, 2, 1)), "0 problems are neither"),
        (Scenario("one bad", 0.02, 500, 0.5).draw(np.random.default_rng(0)), "worst persona solves"),
    ],
)
def test_a_pss_interval_that_cannot_hold_is_refused(correct: np.ndarray, reason: str) -> None:
    found = statistics.pss_interval(correct, seed=0)
    assert (found.low, found.high) == (None, None)
    assert reason in str(found.refused)


def test_a_mean_on_few_problems_or_at_the_edge_is_refused() -> None:
    assert "10 problems" in str(statistics.mean_interval(SMALL.repeat(2, axis=2)[:, :, :10]).refused)
    assert "at an accuracy above 0.8" in str(statistics.cluster_interval([1.0] * 25 + [0.0] * 5, "x").refused)
    assert "all problems score the same" in str(statistics.cluster_interval([0.7] * 101, "x").refused)
    assert "too few problems on which" in str(statistics.paired_interval([0.0] * 499 + [1.0], [0.0] * 500, "x").refused)
    assert "too few right answers" in str(statistics.cluster_interval([0.0] * 399 + [1.0], "x").refused)
    assert statistics.cluster_interval([0.0, 1.0] * 20, "x").refused is None


@pytest.mark.parametrize("null", ["sharp", "blocks"])
def test_the_p_value_is_uniform_for_an_invariant_model(null: Literal["sharp", "blocks"]) -> None:
    """Under blocks also with persona-by-problem interaction, where the sharp null is false."""
    scenario = Scenario("one bad", 1.0, 60, 0.5, interaction=2.0 if null == "blocks" else 1e9)
    p_values = np.sort(
        [
            statistics.invariance_test(scenario.draw(np.random.default_rng([6, n])), null, seed=n, draws=99).p_value
            for n in range(100)
        ]
    )
    distance = np.abs(p_values - (np.arange(100) + 0.5) / 100).max()
    assert distance < 1.63 / np.sqrt(100), "Kolmogorov's distance at 1 %"


def test_the_sharp_null_notices_interaction_and_both_notice_a_bad_persona() -> None:
    interacting = Scenario("one bad", 1.0, 60, 0.5, interaction=0.5)
    sharp = [
        statistics.invariance_test(interacting.draw(np.random.default_rng([7, n])), "sharp", seed=n, draws=99).p_value
        for n in range(60)
    ]
    assert np.mean(np.array(sharp) <= 0.05) > 0.15
    bad = Scenario("one bad", 0.6, 200, 0.5).draw(np.random.default_rng(0))
    for found in (
        statistics.invariance_test(bad, "sharp", seed=0, draws=199),
        statistics.invariance_test(bad, "blocks", seed=0, draws=199),
    ):
        assert found.p_value == 1 / 200
        assert found.verdict != "not distinguishable from persona-invariant"
        assert found.low <= found.expected <= found.high
        assert found.measured < found.low


def test_an_unknown_null_and_an_unsolved_task_are_refused() -> None:
    with pytest.raises(UserError, match="unknown null 'weak'; known: sharp, blocks"):
        statistics.invariance_test(SMALL, "weak", seed=0)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="no answer is correct"):
        statistics.invariance_test(np.zeros((2, 2, 5)), seed=0)


def test_two_models_that_are_one_are_not_told_apart_and_two_that_are_not_are() -> None:
    same = [Scenario("spread", 0.7, 150, 0.5).draw(np.random.default_rng([8, n])) for n in range(2)]
    p_values = []
    for number in range(150):
        # The same problems, answered twice by one model.
        chance = np.random.default_rng([9, number]).beta(0.3, 0.3, 150)
        first, second = np.random.default_rng([10, number]).random((2, P, R, 150)) < chance
        p_values.append(statistics.swap_test(first, second, seed=number, draws=199).pss_p_value)
        fewer = statistics.swap_test(first[:, :2], second, seed=number, draws=199)
        p_values.append(fewer.pss_p_value)
    assert 0.01 <= np.mean(np.array(p_values) <= 0.05) <= 0.1
    better = Scenario("one bad", 1.0, 150, 0.5).draw(np.random.default_rng([8, 0]))
    found = statistics.swap_test(same[0], better, seed=0)
    assert found.pss_difference < 0
    assert found.pss_p_value < 0.01
    interval = statistics.paired_interval(better.mean(axis=(0, 1)), same[0].mean(axis=(0, 1)), "x")
    assert interval.low is not None
    assert interval.estimate == pytest.approx(-found.mean_difference)


def test_models_on_other_problems_are_refused() -> None:
    with pytest.raises(UserError, match="both models need the same ones"):
        statistics.swap_test(SMALL, SMALL[:, :, :5], seed=0)
    with pytest.raises(UserError, match="scores of 7 problems against 5"):
        statistics.paired_interval(np.zeros(7), np.zeros(5), "x")
    with pytest.raises(UserError, match="on the same problems"):
        statistics.worst_minus_control(SMALL, np.zeros((3, 5)), seed=0)
