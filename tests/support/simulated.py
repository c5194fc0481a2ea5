"""Simulated correctness with known truth, for the statistics' tests.

Each problem's solve probability comes from a U-shaped beta distribution. Each persona's
probability on it varies around that (interaction) and is multiplied by the persona's factor. A
persona's true accuracy is its factor times the mean solve probability, so true PSS is the ratio
of smallest to largest factor.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from permix_verl import statistics
from permix_verl.statistics import Interval

P, R = 16, 5


@dataclass(frozen=True)
class Scenario:
    """A simulated data set: 16 personas that differ in accuracy, and a number of problems.

    Attributes:
        shape: which personas are bad; see :meth:`factors`.
        pss: true PSS.
        mean: true accuracy of the best persona.
        size: a + b of the beta distribution of difficulty; below 1 it is U-shaped at any mean.
        interaction: a + b of the beta distribution of a persona's probability around the problem's; large means none.
    """

    shape: str
    pss: float
    problems: int
    mean: float
    size: float = 0.6
    interaction: float = 8.0

    def factors(self) -> NDArray[np.float64]:
        factors = np.ones(P)
        if self.shape == "one bad":
            factors[0] = self.pss
        elif self.shape == "two bad":
            factors[:2] = self.pss, (1 + self.pss) / 2
        elif self.shape == "spread":
            factors = np.linspace(self.pss, 1, P)
        elif self.shape == "halves":
            factors[: P // 2] = self.pss
        else:
            assert self.shape == "one good"
            factors[1:] = self.pss
        return factors

    def sample(self, generator: np.random.Generator) -> NDArray[np.bool_]:
        """Sample correctness, shape (P, R, N)."""
        problem_N = generator.beta(self.size * self.mean, self.size * (1 - self.mean), self.problems)
        a, b = (np.maximum(self.interaction * x, 1e-6) for x in (problem_N, 1 - problem_N))
        chance_PN = self.factors()[:, None] * generator.beta(a, b, (P, self.problems))
        return generator.random((P, R, self.problems)) < chance_PN[:, None, :]


@dataclass
class Coverage:
    """Coverage counts of an interval: covered, printed and refused."""

    covered: int = 0
    printed: int = 0
    refused: int = 0

    def count(self, interval: Interval, truth: float) -> None:
        if interval.low is None or interval.high is None:
            self.refused += 1
            return
        self.printed += 1
        self.covered += interval.low - 1e-9 <= truth <= interval.high + 1e-9

    @property
    def fraction(self) -> float:
        return self.covered / self.printed if self.printed else float("nan")

    def __str__(self) -> str:
        total = self.printed + self.refused
        covered = f"{self.fraction:.3f}" if self.printed else "  -  "
        return f"{covered} ({self.refused / total:4.0%} refused)"


def coverage(scenario: Scenario, data_sets: int, seed: int) -> dict[str, Coverage]:
    """Count the coverage of the mean's, the cross-fitted worst's and PSS's interval over simulated data sets."""
    counts = {"mean": Coverage(), "worst": Coverage(), "pss": Coverage()}
    true_P = scenario.factors() * scenario.mean
    for number in range(data_sets):
        correct = scenario.sample(np.random.default_rng([seed, number]))
        counts["mean"].count(statistics.mean_interval(correct), float(true_P.mean()))
        choices = statistics.cross_fitted_choices(correct, seed=number)
        chosen = sum(true_P[tied].mean() * len(scored) for tied, scored in choices) / sum(len(s) for _, s in choices)
        counts["worst"].count(statistics.cross_fitted_worst(correct, seed=number), float(chosen))
        counts["pss"].count(statistics.pss_interval(correct, seed=number, resamples=1500), scenario.pss)
    return counts
