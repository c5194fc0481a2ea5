"""Simulated correctness of a method trained with several seeds, with known truth, for the tests of pooled intervals.

Each problem's solve probability comes from a U-shaped beta distribution, as in ``simulated``. Personas vary around it
on each problem, and each training seed around that. A seed multiplies all personas' accuracies (above 0.5, their
error rates) by one normal factor and each persona's by another of half the spread, and may fail. Letters: S training
seeds, P personas, R runs, N problems.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from permix_verl import statistics
from permix_verl.statistics import Interval, SeedResamples
from permix_verl.statistics.seed_resamples import Quantity

from .simulated import Coverage, P, R, Scenario

Floats = NDArray[np.float64]
QUANTITIES: tuple[Quantity, ...] = ("worst", "best", "mean", "pss")
PEAK = 0.9
"""Accuracy of the best persona of an average seed in units of the problems' mean solve probability."""
PROBLEM_SIZE, PERSONA_SIZE, SEED_SIZE = 0.6, 8.0, 20.0
"""a + b of the beta distributions of difficulty, and of personas and seeds around it."""


@dataclass(frozen=True)
class Training:
    """A simulated method.

    Attributes:
        shape, pss: the personas' pattern in an average seed; see ``Scenario``.
        spread: relative standard deviation of a seed's accuracy.
        failing: probability that a seed loses 30 % of its accuracy.
        mean: mean of the problems' solve probability, the same for both methods. Above 0.5 the best persona reaches it.
    """

    shape: str
    pss: float
    spread: float
    failing: float = 0.0
    mean: float = 0.5

    def __str__(self) -> str:
        failing = f", {self.failing:.0%} fail" if self.failing else ""
        level = f", accuracy {self.mean:g}" if self.mean != 0.5 else ""
        return f"{self.shape} {self.pss:g}, seeds {self.spread:g}{failing}{level}"

    def accuracies(self, seeds: int, generator: np.random.Generator) -> Floats:
        """Draw the true accuracies of trained models, shape (S, P)."""
        peak = PEAK if self.mean <= 0.5 else 1.0
        pattern_P = peak * Scenario(self.shape, self.pss, 0, self.mean).factors()
        seed_S = 1 + self.spread * generator.standard_normal(seeds)
        persona_SP = 1 + self.spread / 2 * generator.standard_normal((seeds, P))
        failed_S = np.where(generator.random(seeds) < self.failing, 0.7, 1.0)
        factor_SP = seed_S[:, None] * persona_SP
        if self.mean <= 0.5:
            return self.mean * np.clip(pattern_P * factor_SP * failed_S[:, None], 0, 1)
        error_SP = np.clip((1 - self.mean * pattern_P) * factor_SP, 0, 1)
        return (1 - error_SP) * failed_S[:, None]

    def truth(self) -> dict[Quantity, float]:
        """Return each quantity's mean over 100,000 seeds."""
        accuracy_SP = self.accuracies(100_000, np.random.default_rng(0))
        values = (
            accuracy_SP.min(axis=1),
            accuracy_SP.max(axis=1),
            accuracy_SP.mean(axis=1),
            statistics.pss(accuracy_SP.T),
        )
        return dict(zip(QUANTITIES, (float(value.mean()) for value in values), strict=True))


def sample(
    methods: Sequence[Training], seeds: int, problems: int, generator: np.random.Generator
) -> list[NDArray[np.bool_]]:
    """Sample the correctness of several methods' models on the same problems, shape (S, P, R, N) each."""
    (mean,) = {method.mean for method in methods}
    solve_N = generator.beta(PROBLEM_SIZE * mean, PROBLEM_SIZE * (1 - mean), problems)
    persona_PN = _around(np.broadcast_to(solve_N, (P, problems)), PERSONA_SIZE, generator)
    correct = []
    for method in methods:
        accuracy_SP = method.accuracies(seeds, generator)
        seed_SPN = _around(np.broadcast_to(persona_PN, (seeds, P, problems)), SEED_SIZE, generator)
        accuracy_SP1 = accuracy_SP[:, :, None]
        lower, higher = accuracy_SP1 / mean * seed_SPN, 1 - (1 - accuracy_SP1) / (1 - mean) * (1 - seed_SPN)
        chance_SPN = np.where(accuracy_SP1 <= mean, lower, higher)
        correct.append(generator.random((seeds, P, R, problems)) < chance_SPN[:, :, None, :])
    return correct


def _around(mean: Floats, size: float, generator: np.random.Generator) -> Floats:
    a, b = (np.maximum(size * value, 1e-6) for value in (mean, 1 - mean))
    result: Floats = generator.beta(a, b)
    return result


def ignoring_seeds(noise: SeedResamples) -> Interval:
    """Return the interval of the problems alone, as if the models at hand were all there is."""
    pooled = statistics.pool_seeds(noise)
    estimate = pooled.interval.estimate
    if noise.refused:
        return pooled.interval
    low, high = estimate - np.quantile(noise.above_B, 0.975), estimate + np.quantile(noise.below_B, 0.975)
    return Interval("the models at hand", estimate, float(low), float(high), 0.95)


def crossed_bootstrap(resampled_SBP: Floats, quantity: str, *, seed: int) -> Interval:
    """Return a percentile interval that resamples seeds and problems.

    Args:
        resampled_SBP: accuracies of each model on the same B resamples of the problems.
    """
    seeds, resamples, _ = resampled_SBP.shape
    lowest_SB, highest_SB = resampled_SBP.min(axis=2), resampled_SBP.max(axis=2)
    values = {"worst": lowest_SB, "best": highest_SB, "mean": resampled_SBP.mean(axis=2), "pss": lowest_SB / highest_SB}
    chosen_SB = np.random.default_rng(seed).integers(0, seeds, (seeds, resamples))
    mean_B = np.take_along_axis(values[quantity], chosen_SB, axis=0).mean(axis=0)
    low, high = np.quantile(mean_B, [0.025, 0.975])
    return Interval("crossed bootstrap", float(mean_B.mean()), float(low), float(high), 0.95)


@dataclass
class SeedCoverage(Coverage):
    """Coverage counts of an interval, and the sum of its widths."""

    widths: float = 0.0

    def count(self, interval: Interval, truth: float) -> None:
        super().count(interval, truth)
        if interval.low is not None and interval.high is not None:
            self.widths += interval.high - interval.low

    @property
    def width(self) -> float:
        return self.widths / self.printed if self.printed else float("nan")


Counts = dict[tuple[str, Quantity, int], SeedCoverage]
"""Coverage by rule, one of RULES, quantity and number of seeds."""
RULES = ("pooled", "ignoring seeds", "crossed bootstrap", "difference")


def pooled_coverage(
    methods: tuple[Training, Training],
    problems: int,
    data_sets: int,
    *,
    seed: int,
    counts: Sequence[int] = (2, 3, 5),
    resamples: int = 500,
) -> Counts:
    """Count the coverage of pooled intervals, over both methods, and of the methods' differences.

    Args:
        counts: numbers of training seeds; the first models of a data set are pooled.
    """
    truths = [method.truth() for method in methods]
    result: Counts = defaultdict(SeedCoverage)
    for number in range(data_sets):
        models = sample(methods, max(counts), problems, np.random.default_rng([seed, number]))
        resampled = [
            np.array([statistics.bootstrap_accuracy(correct_PRN, resamples, seed=number) for correct_PRN in correct])
            for correct in models
        ]
        for seeds in counts:
            noises = [
                statistics.resample_seeds(list(correct[:seeds]), seed=number, resamples=resamples) for correct in models
            ]
            for quantity in QUANTITIES:
                pair = [of_method[quantity] for of_method in noises]
                for truth, noise, resampled_SBP in zip(truths, pair, resampled, strict=True):
                    crossed = crossed_bootstrap(resampled_SBP[:seeds], quantity, seed=number)
                    pooled = statistics.pool_seeds(noise).interval
                    result["pooled", quantity, seeds].count(pooled, truth[quantity])
                    result["ignoring seeds", quantity, seeds].count(ignoring_seeds(noise), truth[quantity])
                    result["crossed bootstrap", quantity, seeds].count(crossed, truth[quantity])
                difference = statistics.pooled_difference(*pair)
                result["difference", quantity, seeds].count(difference, truths[0][quantity] - truths[1][quantity])
    return result
