"""Coverage of every printed interval over 500 simulated data sets of known truth, and uniformity of the p-values.

By hand, about 15 minutes on one core:

.venv/bin/python -m pytest tests/soak/test_calibration.py -s | tee docs/soak/calibration.log
"""

import zlib
from typing import Literal

import numpy as np
import pytest

from permix_verl import statistics

from ..support.simulated import Scenario, coverage

DATA_SETS = 500
SCENARIOS = [
    *(Scenario(shape, pss, 500, 0.47) for shape in ("one bad", "two bad", "spread", "halves", "one good")
      for pss in (0.3, 0.6, 0.8, 0.9, 0.95, 0.98)),
    *(Scenario(shape, pss, 1319, 0.86) for shape in ("one bad", "spread", "halves")
      for pss in (0.3, 0.7, 0.9, 0.97)),
    *(Scenario("one bad", 1.0, problems, mean) for problems, mean in ((500, 0.47), (1319, 0.86), (1000, 0.2))),
    *(Scenario("two bad", pss, 1000, 0.2, size=0.3) for pss in (0.5, 0.9)),
    *(Scenario("halves", 0.8, 30, mean) for mean in (0.05, 0.1, 0.24, 0.5)),
    *(Scenario("halves", 0.8, 100, mean) for mean in (0.1, 0.3, 0.7)),
]  # fmt: skip


@pytest.mark.parametrize("scenario", SCENARIOS, ids=str)
def test_printed_intervals_cover_between_92_and_98_percent(scenario: Scenario) -> None:
    counts = coverage(scenario, DATA_SETS, seed=zlib.crc32(str(scenario).encode()))
    print(
        f"\n{scenario.problems:5d} problems at {scenario.mean:.2f}, {scenario.shape:8s} true PSS {scenario.pss:.2f}:",
        end="",
    )
    print("".join(f"  {name} {value}" for name, value in counts.items()))
    for name, value in counts.items():
        if value.printed >= DATA_SETS / 2:
            # 500 data sets measure a coverage with a standard error of 1 %.
            assert 0.92 - 0.01 <= value.fraction <= 0.98 + 0.01, name


@pytest.mark.parametrize("null", ["sharp", "blocks"])
def test_p_values_are_uniform(null: Literal["sharp", "blocks"]) -> None:
    for interaction in (1e9, 2.0) if null == "blocks" else (1e9,):
        scenario = Scenario("one bad", 1.0, 200, 0.47, interaction=interaction)
        p_values = np.sort(
            [
                statistics.invariance_test(
                    scenario.sample(np.random.default_rng([6, n])), null, seed=n, resamples=199
                ).p_value
                for n in range(DATA_SETS)
            ]
        )
        distance = float(np.abs(p_values - (np.arange(DATA_SETS) + 0.5) / DATA_SETS).max())
        print(
            f"\n{null}, interaction {interaction:g}: p <= 0.05 in {(p_values <= 0.05).mean():.3f}, "
            f"distance {distance:.3f}"
        )
        assert distance < 1.63 / np.sqrt(DATA_SETS)
