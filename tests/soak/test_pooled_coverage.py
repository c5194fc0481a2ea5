"""Coverage of intervals pooled over training seeds, over 200 simulated data sets of known truth, beside two others.

By hand, about three minutes on one core:

OMP_NUM_THREADS=1 .venv/bin/python -m pytest tests/soak/test_pooled_coverage.py -s | tee docs/soak/pooled_coverage.log

Each data set has two methods on the same problems, with 16 personas and 5 runs. Coverage is counted over both, which
share the problems' noise: its standard error is 1.5 to 2 %.
"""

import zlib

import pytest

from ..support.simulated_seeds import QUANTITIES, RULES, Counts, Training, pooled_coverage

DATA_SETS = 200
SEEDS = (2, 3, 5)
PATTERNS: dict[int, tuple[tuple[str, float], tuple[str, float]]] = {
    100: (("one bad", 0.7), ("spread", 0.9)),
    200: (("one bad", 1.0), ("spread", 0.8)),
    500: (("one bad", 0.98), ("one bad", 0.8)),
}
"""The two methods' personas, by number of problems."""


def measured(problems: int, methods: tuple[Training, Training]) -> Counts:
    """Count and print the coverage of one scenario."""
    name = f"{problems} problems, {methods[0]}; {methods[1]}"
    counts = pooled_coverage(methods, problems, DATA_SETS, seed=zlib.crc32(name.encode()), counts=SEEDS)
    print(f"\n{name}")
    for rule in RULES:
        for quantity in QUANTITIES:
            cells = []
            for number in SEEDS:
                value = counts[rule, quantity, number]
                cells.append(f"{number} seeds {value}, width {value.width:5.3f}")
            print(f"  {rule:18} {quantity:6} {'; '.join(cells)}")
    return counts


@pytest.mark.parametrize("spread", [0.0, 0.02, 0.08], ids=["none", "small", "large"])
@pytest.mark.parametrize("problems", PATTERNS)
def test_pooled_intervals_cover_at_least_92_percent(problems: int, spread: float) -> None:
    first, second = PATTERNS[problems]
    counts = measured(problems, (Training(*first, spread), Training(*second, spread)))
    for quantity in QUANTITIES:
        for seeds in SEEDS:
            for rule in ("pooled", "difference"):
                value = counts[rule, quantity, seeds]
                if value.printed >= DATA_SETS / 2:
                    assert value.fraction >= 0.92 - 0.03, (rule, quantity, seeds, str(value))
    # Negative controls: the others do not cover, so that the count is able to tell.
    if (problems, spread) == (500, 0.08):
        assert counts["ignoring seeds", "mean", 2].fraction < 0.85
    if problems > 100:
        assert counts["crossed bootstrap", "pss", 5].fraction < 0.8


@pytest.mark.parametrize(("problems", "mean"), [(100, 0.92), (30, 0.2)], ids=["ceiling", "floor"])
@pytest.mark.parametrize("spread", [0.0, 0.05], ids=["none", "some"])
def test_pooled_intervals_cover_near_ceiling_and_floor(problems: int, mean: float, spread: float) -> None:
    method = Training("one bad", 1.0, spread, mean=mean)
    counts = measured(problems, (method, method))
    for quantity in ("worst", "best", "mean"):
        for seeds in SEEDS:
            value = counts["pooled", quantity, seeds]
            assert value.fraction >= 0.92, (quantity, seeds, str(value))


def test_seeds_that_rarely_fail_are_not_in_the_interval() -> None:
    """Not a property to want: the figures are on the page, and this sees that they stay true."""
    counts = measured(500, (Training("one bad", 0.98, 0.01, failing=0.1), Training("one bad", 0.8, 0.01)))
    assert counts["difference", "mean", 5].fraction < 0.8
