"""Tests of the invariance test and of the paired comparison of two models."""

from typing import Literal

import numpy as np
import pytest

from permix_verl import UserError, statistics

from ...support.simulated import P, R, Scenario

SMALL = (np.random.default_rng(0).random((4, 3, 7)) < 0.6).astype(float)


@pytest.mark.parametrize("null", ["sharp", "blocks"])
def test_the_p_value_is_uniform_for_an_invariant_model(null: Literal["sharp", "blocks"]) -> None:
    """The blocks null is tested with persona-by-problem interaction, where the sharp null is false."""
    scenario = Scenario("one bad", 1.0, 60, 0.5, interaction=2.0 if null == "blocks" else 1e9)
    p_values = np.sort(
        [
            statistics.invariance_test(
                scenario.sample(np.random.default_rng([6, n])), null, seed=n, resamples=99
            ).p_value
            for n in range(100)
        ]
    )
    distance = np.abs(p_values - (np.arange(100) + 0.5) / 100).max()
    assert distance < 1.63 / np.sqrt(100), "Kolmogorov's distance at 1 %"


def test_the_sharp_null_detects_interaction_and_both_detect_a_bad_persona() -> None:
    interacting = Scenario("one bad", 1.0, 60, 0.5, interaction=0.5)
    sharp = [
        statistics.invariance_test(
            interacting.sample(np.random.default_rng([7, n])), "sharp", seed=n, resamples=99
        ).p_value
        for n in range(60)
    ]
    assert np.mean(np.array(sharp) <= 0.05) > 0.15
    bad = Scenario("one bad", 0.6, 200, 0.5).sample(np.random.default_rng(0))
    for result in (
        statistics.invariance_test(bad, "sharp", seed=0, resamples=199),
        statistics.invariance_test(bad, "blocks", seed=0, resamples=199),
    ):
        assert result.p_value == 1 / 200
        assert result.conclusion != "not distinguishable from persona-invariant"
        assert result.low <= result.expected <= result.high
        assert result.measured < result.low


def test_an_unknown_null_and_an_unsolved_task_are_refused() -> None:
    with pytest.raises(UserError, match="unknown null 'weak'; known: sharp, blocks"):
        statistics.invariance_test(SMALL, "weak", seed=0)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="no completion is correct"):
        statistics.invariance_test(np.zeros((2, 2, 5)), seed=0)


def test_the_swap_test_separates_different_models_and_not_equal_ones() -> None:
    same = [Scenario("spread", 0.7, 150, 0.5).sample(np.random.default_rng([8, n])) for n in range(2)]
    p_values = []
    for number in range(150):
        # One model solves the same problems twice.
        chance = np.random.default_rng([9, number]).beta(0.3, 0.3, 150)
        first, second = np.random.default_rng([10, number]).random((2, P, R, 150)) < chance
        p_values.append(statistics.swap_test(first, second, seed=number, resamples=199).pss_p_value)
        fewer = statistics.swap_test(first[:, :2], second, seed=number, resamples=199)
        p_values.append(fewer.pss_p_value)
    assert 0.01 <= np.mean(np.array(p_values) <= 0.05) <= 0.1
    better = Scenario("one bad", 1.0, 150, 0.5).sample(np.random.default_rng([8, 0]))
    result = statistics.swap_test(same[0], better, seed=0)
    assert result.pss_difference < 0
    assert result.pss_p_value < 0.01
    interval = statistics.paired_interval(better.mean(axis=(0, 1)), same[0].mean(axis=(0, 1)), "x")
    assert interval.low is not None
    assert interval.estimate == pytest.approx(-result.mean_difference)


def test_models_on_other_problems_are_refused() -> None:
    with pytest.raises(UserError, match="same ones for both models"):
        statistics.swap_test(SMALL, SMALL[:, :, :5], seed=0)
    with pytest.raises(UserError, match="scores of 7 problems against 5"):
        statistics.paired_interval(np.zeros(7), np.zeros(5), "x")
    with pytest.raises(UserError, match="on the same problems"):
        statistics.worst_minus_control(SMALL, np.zeros((3, 5)), seed=0)
