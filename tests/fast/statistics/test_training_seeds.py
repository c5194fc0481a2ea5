"""Tests of estimates pooled over training seeds: against known truth, by hand, and for refusals."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import stdtrit

from permix_verl import UserError, statistics
from permix_verl.statistics import PooledEstimate
from permix_verl.statistics.seed_resamples import Quantity

from ...support.simulated_seeds import QUANTITIES, Training, pooled_coverage, sample

Correct = NDArray[np.bool_]


def trained(method: Training, seeds: int, problems: int = 200, *, data: int = 0) -> list[Correct]:
    """Return models of one method, of shape (P, R, N)."""
    return list(sample([method], seeds, problems, np.random.default_rng(data))[0])


def pooled(correct_SPRN: list[Correct], quantity: Quantity, *, seed: int = 0) -> PooledEstimate:
    return statistics.pool_seeds(statistics.resample_seeds(correct_SPRN, seed=seed, resamples=1000)[quantity])


def limits(estimate: PooledEstimate) -> tuple[float, float]:
    assert estimate.interval.low is not None
    assert estimate.interval.high is not None
    return estimate.interval.low, estimate.interval.high


def test_pooled_intervals_cover_and_those_that_ignore_seeds_do_not() -> None:
    """Short form of tests/soak/test_pooled_coverage.py, with its negative control: 95 % of 120 is 114."""
    methods = Training("one bad", 0.98, 0.08), Training("one bad", 0.8, 0.08)
    counts = pooled_coverage(methods, 300, 60, seed=1, counts=(2, 3), resamples=200)
    for quantity in QUANTITIES:
        for seeds in (2, 3):
            assert counts["pooled", quantity, seeds].fraction >= 0.9, (quantity, seeds)
            assert counts["difference", quantity, seeds].fraction >= 0.9, (quantity, seeds)
    for quantity in ("mean", "worst"):
        assert counts["ignoring seeds", quantity, 2].fraction < 0.85, "the count would see a naive interval"


def test_without_seed_effects_a_pss_of_1_is_covered_and_by_the_crossed_bootstrap_is_not() -> None:
    methods = Training("one bad", 1.0, 0.0), Training("one bad", 1.0, 0.0)
    counts = pooled_coverage(methods, 300, 30, seed=2, counts=(3,), resamples=300)
    assert counts["pooled", "pss", 3].fraction >= 0.95
    assert counts["crossed bootstrap", "pss", 3].fraction == 0, "negative control"


def test_near_the_ceiling_the_interval_covers_and_without_mirror_and_kurtosis_less() -> None:
    """A standard error of coverage is 0.014 here; the plain bootstrap's limits covered 0.91."""
    methods = Training("one bad", 1.0, 0.0, mean=0.92), Training("one bad", 1.0, 0.0, mean=0.92)
    counts = pooled_coverage(methods, 100, 120, seed=5, counts=(3,), resamples=200)
    assert counts["pooled", "mean", 3].fraction >= 0.94
    assert counts["pooled", "best", 3].fraction >= 0.94


def test_methods_that_differ_on_few_problems_are_not_compared() -> None:
    (models,) = sample([Training("one bad", 0.8, 0.0)], 2, 200, np.random.default_rng(6))
    other = models.copy()
    other[:, :, :, :2] ^= True
    noises = [statistics.resample_seeds(list(group), seed=0, resamples=200)["mean"] for group in (models, other)]
    assert statistics.pooled_difference(*noises).refused == "too few problems on which the two differ"
    other[:, :, :, :60] = np.random.default_rng(7).random(other[:, :, :, :60].shape) < 0.5
    noises[1] = statistics.resample_seeds(list(other), seed=0, resamples=200)["mean"]
    assert statistics.pooled_difference(*noises).refused is None, "negative control"


@pytest.mark.parametrize("quantity", QUANTITIES)
def test_the_estimate_is_the_mean_over_models_and_its_interval_contains_it(quantity: Quantity) -> None:
    models = trained(Training("spread", 0.9, 0.05), 3)
    accuracy_SP = np.array([statistics.persona_accuracy(correct_PRN) for correct_PRN in models])
    by_hand = {
        "worst": accuracy_SP.min(axis=1),
        "best": accuracy_SP.max(axis=1),
        "mean": accuracy_SP.mean(axis=1),
        "pss": accuracy_SP.min(axis=1) / accuracy_SP.max(axis=1),
    }[quantity]
    estimate = pooled(models, quantity)
    assert estimate.by_seed == pytest.approx(by_hand)
    assert estimate.interval.estimate == pytest.approx(by_hand.mean())
    assert estimate.from_seeds == pytest.approx(stdtrit(2, 0.975) * by_hand.std(ddof=1) / np.sqrt(3))
    low, high = limits(estimate)
    assert 0 <= low <= estimate.interval.estimate <= high <= 1


def test_the_problems_part_of_the_mean_is_that_of_one_model() -> None:
    """Three times one model: no part from seeds, and the model's own interval but for its logit scale."""
    model = trained(Training("one bad", 0.8, 0.0), 1, 400)[0]
    estimate, own = pooled([model] * 3, "mean"), statistics.mean_interval(model)
    assert estimate.from_seeds == 0
    assert limits(estimate) == pytest.approx((own.low, own.high), abs=0.004)


def test_two_seeds_give_a_wider_interval_than_three_of_the_same_spread() -> None:
    low, _, high = trained(Training("one bad", 0.8, 0.1), 3, data=3)
    middle = np.where(np.arange(200) % 2, low, high)
    two, three = pooled([low, high], "mean"), pooled([low, middle, high], "mean")
    assert two.from_seeds is not None
    assert three.from_seeds is not None
    assert two.from_seeds > 3 * three.from_seeds


@pytest.mark.parametrize("quantity", QUANTITIES)
def test_limits_do_not_depend_on_the_order_of_personas_and_seeds(quantity: Quantity) -> None:
    models = trained(Training("spread", 0.8, 0.05), 3)
    turned = [correct_PRN[::-1] for correct_PRN in reversed(models)]
    assert limits(pooled(turned, quantity)) == pytest.approx(limits(pooled(models, quantity)))


def test_a_difference_uses_that_the_problems_are_shared() -> None:
    """The difficulty of the problems cancels in the difference of the means, as in a paired comparison."""
    first, second = sample(
        [Training("one bad", 0.98, 0.0), Training("one bad", 0.8, 0.0)], 5, 200, np.random.default_rng(4)
    )
    one, other = (statistics.resample_seeds(list(models), seed=0, resamples=1000) for models in (first, second))
    forth = statistics.pooled_difference(one["mean"], other["mean"])
    back = statistics.pooled_difference(other["mean"], one["mean"])
    assert forth.low is not None
    assert forth.high is not None
    assert back.low is not None
    assert (back.estimate, back.low, back.high) == pytest.approx((-forth.estimate, -forth.high, -forth.low))
    low, high = limits(statistics.pool_seeds(one["mean"]))
    assert forth.high - forth.low < 0.4 * (high - low)
    unrelated = statistics.resample_seeds(list(second[:, :, :, ::-1]), seed=0, resamples=1000)
    apart = statistics.pooled_difference(one["mean"], unrelated["mean"])
    assert apart.low is not None
    assert apart.high is not None
    assert apart.high - apart.low > 1.2 * (high - low), "negative control: other problems in the same places"


def test_one_seed_and_uncertain_models_are_refused_with_the_reason() -> None:
    models = trained(Training("one bad", 0.8, 0.02), 3)
    alone = pooled(models[:1], "mean")
    assert alone.interval.refused == "1 training seed; at least 2 are needed"
    assert (alone.interval.low, alone.from_problems, len(alone.by_seed)) == (None, None, 1)
    few = [correct_PRN[:, :, :100] for correct_PRN in models]
    assert "model 1 of 3" in str(pooled(few, "pss").interval.refused)
    assert "at least 150 are needed" in str(pooled(few, "pss").interval.refused)
    assert pooled(few, "worst").interval.refused is None
    unsolved = [models[0], np.zeros_like(models[0])]
    for quantity in QUANTITIES:
        estimate = pooled(unsolved, quantity)
        assert "model 2 of 2" in str(estimate.interval.refused)
    assert np.isnan(pooled(unsolved, "pss").by_seed[1])
    noise = [statistics.resample_seeds(group, seed=0, resamples=100)["mean"] for group in (models, unsolved)]
    assert "second method, model 2 of 2" in str(statistics.pooled_difference(*noise).refused)


@pytest.mark.parametrize(
    ("models", "message"),
    [
        ([], "0 models"),
        ([np.ones((16, 1, 30)), np.ones((16, 1, 31))], r"2 models with \[30, 31\] problems"),
        ([np.ones((16, 30))], r"shape \(16, 30\)"),
    ],
)
def test_models_on_other_problems_are_refused(models: list[Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        statistics.resample_seeds(models, seed=0)


def test_a_difference_of_other_quantities_or_problems_is_refused() -> None:
    models = trained(Training("one bad", 0.8, 0.02), 2)
    noise = statistics.resample_seeds(models, seed=0, resamples=100)
    fewer = statistics.resample_seeds([correct_PRN[:, :, :150] for correct_PRN in models], seed=0, resamples=100)
    for other in (noise["worst"], fewer["mean"], statistics.resample_seeds(models, seed=0, resamples=99)["mean"]):
        with pytest.raises(UserError, match="resample the same problems"):
            statistics.pooled_difference(noise["mean"], other)
