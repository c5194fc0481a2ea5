"""Tests of the rating statistics, against values computed by hand or published."""

import numpy as np
import pytest

from permix_verl import UserError, statistics

NAN = float("nan")


def test_an_interval_over_personas_is_student_t() -> None:
    """Mean 3; sum of squares 12, so sd sqrt(12/7), error 0.46291; kurtosis 4.5 / 1.5**2 = 2, so 7 degrees: 2.36462."""
    result = statistics.persona_interval([1, 2, 3, 4, 5, 3, 2, 4], "x", 1, 5)
    assert result.estimate == 3
    assert result.standard_error == pytest.approx(0.462910, abs=1e-6)
    assert (result.low, result.high) == pytest.approx((3 - 2.364624 * 0.462910, 3 + 2.364624 * 0.462910), abs=1e-5)


def test_personas_without_a_value_are_left_out_and_the_interval_stays_on_the_scale() -> None:
    values = [5, 5, 5, 4, 5, 5, 4, 5, NAN]
    result = statistics.persona_interval(values, "x", 1, 5)
    assert result.estimate == pytest.approx(4.75)
    assert result.high == 5


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ([1, 2, 3, 4, 5, 4, 3], "7 personas; at least 8"),
        ([NAN] * 9, "0 personas"),
        ([5.0] * 16, "all personas score the same"),
        ([5.0] * 15 + [1.0], "a single persona decides"),
    ],
)
def test_an_interval_without_enough_data_is_refused(values: list[float], reason: str) -> None:
    result = statistics.persona_interval(values, "x", 1, 5)
    assert result.refused is not None
    assert reason in result.refused
    assert result.low is None


def test_values_off_the_scale_are_refused() -> None:
    with pytest.raises(UserError, match=r"outside \[1, 5\]"):
        statistics.persona_interval([0.5] * 8, "x", 1, 5)


def test_intervals_cover_the_mean_of_all_personas() -> None:
    """Simulated means of two noisy integer ratings, 16 personas each: 95 % within three standard errors."""
    rng = np.random.default_rng(0)
    data_sets = 2000
    level = 1 + 4 * rng.beta(2.0, 1.0, (data_sets, 16, 1))
    values = np.clip(np.round(rng.normal(level, 0.7, (data_sets, 16, 2))), 1, 5).mean(axis=2)
    truth = values.mean()
    intervals = [statistics.persona_interval(row, "x", 1, 5) for row in values]
    covered = [one.low <= truth <= one.high for one in intervals if one.low is not None and one.high is not None]
    assert len(covered) > 0.99 * data_sets
    assert np.mean(covered) == pytest.approx(0.95, abs=0.015)


def test_the_sign_flip_test_enumerates_all_sign_changes() -> None:
    """Two of the eight sums +-1 +-2 +-3 have size 6, and two of the eight sums +-1 +-1 +-2 have size 4."""
    assert statistics.sign_flip_test([1, 2, 3], seed=0) == 2 / 8
    assert statistics.sign_flip_test([1, 1, 2], seed=0) == 2 / 8
    assert statistics.sign_flip_test([1, 1, 0], seed=0) == 4 / 8
    assert statistics.sign_flip_test([0, 0, 0], seed=0) == 1
    assert statistics.sign_flip_test([0.1] * 16, seed=0) == 2 / 2**16


def test_sampled_sign_flips_agree_with_the_exact_test() -> None:
    difference = np.array([0.5, -0.25, 1.0, 0.75, -0.5, 0.25, 0.5, 1.0, -1.0, 0.5, 0.25, 0.0, 0.75, -0.25, 0.5, 0.0])
    exact = statistics.sign_flip_test(difference, seed=0)
    sampled = statistics.sign_flip_test(np.concatenate([difference, [0.0]]), seed=0)
    assert sampled == pytest.approx(exact, abs=0.01)
    assert sampled == statistics.sign_flip_test(np.concatenate([difference, [0.0]]), seed=0)


def test_equal_models_are_separated_in_at_most_one_of_twenty_tests() -> None:
    """Tied half scores make the test slightly conservative; three standard errors of 800 tests are 0.023."""
    rng = np.random.default_rng(1)
    small = [statistics.sign_flip_test(np.round(rng.normal(0, 2, 9)) / 2, seed=0) <= 0.05 for _ in range(800)]
    assert 0.01 < np.mean(small) < 0.05 + 0.023


def test_a_pair_uses_only_personas_with_both_values() -> None:
    first = [5, 4, 3, 5, 4, 5, 3, 4, NAN, 5]
    second = [4, 4, 2, 4, 4, 3, 3, 3, 1, NAN]
    result = statistics.paired_ratings(first, second, "x", 4, seed=0)
    assert result.personas == 8
    assert result.difference.estimate == (1 + 0 + 1 + 1 + 0 + 2 + 0 + 1) / 8
    assert result.p_value == pytest.approx(2 / 2**5), "five personas differ, all in one direction"
    few = statistics.paired_ratings(first[:5], second[:5], "x", 4, seed=0)
    assert few.p_value is None
    assert few.difference.refused is not None
    with pytest.raises(UserError, match="same ones"):
        statistics.paired_ratings([1.0], [1.0, 2.0], "x", 4, seed=0)


KRIPPENDORFF = """
1 2 3 3 2 1 4 1 2 . . .
1 2 3 3 2 2 4 1 2 5 . 3
. 3 3 3 2 3 4 2 2 5 1 .
1 2 3 3 2 4 4 1 2 5 1 .
"""
"""The example in Krippendorff's "Computing Krippendorff's Alpha-Reliability" (2011): four observers, twelve units."""


def test_alpha_is_krippendorffs_on_his_own_example() -> None:
    """Krippendorff reports 0.815 for ordinal data."""
    rows = [[NAN if cell == "." else float(cell) for cell in line.split()] for line in KRIPPENDORFF.split("\n") if line]
    result = statistics.krippendorff_alpha(np.array(rows)[:, :, None], range(1, 6), seed=0, resamples=200)
    assert result.estimate == pytest.approx(0.815, abs=5e-4)
    assert result.low is not None
    assert result.high is not None
    assert result.low < 0.815 < result.high


def test_alpha_is_one_for_the_same_ratings_and_about_zero_for_unrelated_ones() -> None:
    ratings = np.random.default_rng(0).integers(1, 6, (2, 16, 10)).astype(float)
    unrelated = statistics.krippendorff_alpha(ratings, range(1, 6), seed=0, resamples=200)
    assert unrelated.low is not None
    assert unrelated.high is not None
    assert unrelated.low < 0 < unrelated.high
    ratings[1] = ratings[0]
    assert statistics.krippendorff_alpha(ratings, range(1, 6), seed=0, resamples=50).estimate == pytest.approx(1)


@pytest.mark.parametrize(
    ("ratings", "reason"),
    [
        (np.full((1, 16, 2), 3.0), "one judge"),
        (np.full((2, 16, 2), 3.0), "all ratings are the same"),
        (np.array([[[1.0], [NAN]], [[NAN], [2.0]]]), "none is by two judges"),
        (np.array([[[1.0], [2.0]], [[1.0], [2.0]]]), "2 personas"),
    ],
)
def test_alpha_without_enough_ratings_is_refused(ratings: np.ndarray, reason: str) -> None:
    result = statistics.krippendorff_alpha(ratings, range(1, 6), seed=0, resamples=20)
    assert result.refused is not None
    assert reason in result.refused
