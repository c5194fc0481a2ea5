"""Identification of personas from log-likelihoods: hits, margins, crossed clusters, exchanged labels."""

import numpy as np
import pytest

from permix_verl.errors import UserError
from permix_verl.statistics.identification import (
    identification,
    identification_difference,
    identified,
    log_ratio,
    shuffled_own,
)

PERSONAS, PROBLEMS = 16, 20


def simulated(signal: float, seed: int = 0, persona_effect: float = 0.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return scores, personas and problems of one answer for each pair, with ``signal`` added under the own prompt."""
    generator = np.random.default_rng(seed)
    own, problem = np.tile(np.arange(PERSONAS), PROBLEMS), np.repeat(np.arange(PROBLEMS), PERSONAS)
    scores = generator.normal(size=(len(own), PERSONAS)) - 3
    scores[np.arange(len(own)), own] += signal + persona_effect * generator.normal(size=PERSONAS)[own]
    return scores, own, problem


def test_hits_and_ratios_of_a_small_example() -> None:
    scores = np.array([[-1.0, -2.0, -3.0], [-2.0, -1.0, -1.0], [-1.0, -1.0, -4.0]])
    assert identified(scores, [0, 1, 2]).tolist() == [1.0, 0.5, 0.0]
    assert log_ratio(scores, [0, 1, 2]) == pytest.approx([1.5, 0.5, -3.0])


def test_a_constant_of_the_answer_changes_nothing() -> None:
    scores, own, problem = simulated(1.0)
    moved = scores + np.random.default_rng(5).normal(size=(len(own), 1))
    assert identification(scores, own, problem).rate == identification(moved, own, problem).rate
    assert log_ratio(scores, own) == pytest.approx(log_ratio(moved, own))


def test_a_signal_is_above_chance_and_noise_is_not() -> None:
    found = identification(*simulated(1.5))
    assert found.rate.low is not None
    assert found.rate.low > found.chance == 1 / PERSONAS
    assert found.margin.low is not None
    assert found.margin.low > 0
    noise = identification(*simulated(0.0)).rate
    assert noise.low is not None
    assert noise.high is not None
    assert noise.low < 1 / PERSONAS < noise.high


def test_intervals_cover_the_true_rate_also_where_personas_differ() -> None:
    rates = [identification(*simulated(1.0, seed, persona_effect=1.0)).rate for seed in range(120)]
    truth = float(np.mean([rate.estimate for rate in rates]))
    covered = np.mean(
        [rate.low < truth < rate.high for rate in rates if rate.low is not None and rate.high is not None]
    )
    assert covered > 0.9


def test_exchanged_labels_say_nothing() -> None:
    scores, own, problem = simulated(3.0)
    shuffled = shuffled_own(own, problem, seed=1)
    assert shuffled.tolist() == shuffled_own(own, problem, seed=1).tolist() != own.tolist()
    for value in np.unique(problem):
        assert sorted(shuffled[problem == value]) == sorted(own[problem == value])
    rate = identification(scores, shuffled, problem).rate
    assert rate.low is not None
    assert rate.high is not None
    assert rate.low < 1 / PERSONAS < rate.high
    assert identification(scores, own, problem).rate.estimate > 0.5  # the same scores with their own labels


def test_few_clusters_get_no_interval() -> None:
    scores, own, problem = simulated(1.0)
    few = problem < 3
    rate = identification(scores[few], own[few], problem[few]).rate
    assert rate.low is None
    assert "3 problems; at least 8 of each are needed" in str(rate.refused)


@pytest.mark.parametrize(
    ("scores", "own", "said"),
    [
        ([[-1.0]], [0], "two prompts or more"),
        ([[-1.0, float("nan")]], [0], "two prompts or more"),
        ([[-1.0, -2.0]], [2], "give each answer's column"),
        ([[-1.0, -2.0]], [0, 1], "give each answer's column"),
    ],
)
def test_what_does_not_fit_is_refused(scores: list[list[float]], own: list[int], said: str) -> None:
    with pytest.raises(UserError, match=said):
        log_ratio(scores, own)


def test_a_difference_is_that_of_the_two_estimates_and_its_interval_covers_it() -> None:
    first, own, problem = simulated(1.5, seed=1)
    second, _, _ = simulated(0.5, seed=2)
    difference = identification_difference(first, second, own, problem)
    one, other = (identification(scores, own, problem) for scores in (first, second))
    assert difference.rate.estimate == pytest.approx(one.rate.estimate - other.rate.estimate)
    assert difference.margin.estimate == pytest.approx(one.margin.estimate - other.margin.estimate)
    assert difference.rate.low is not None
    assert difference.rate.low > 0
    same = identification_difference(first, simulated(1.5, seed=3)[0], own, problem).rate
    assert same.low is not None
    assert same.high is not None
    assert same.low < 0 < same.high


def test_differences_of_other_answers_are_refused() -> None:
    scores, own, problem = simulated(1.0)
    with pytest.raises(UserError, match="log-likelihoods of the shapes"):
        identification_difference(scores, scores[:, :8], own % 8, problem)
