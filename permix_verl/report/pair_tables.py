"""Table of the paired comparisons of a task's models."""

from collections.abc import Sequence

from permix_verl.evaluation.analysis_types import PairComparison
from permix_verl.report import formatting as fmt
from permix_verl.report.document import Table, table


def pairs_table(comparisons: Sequence[PairComparison]) -> Table:
    """Build the table of paired comparisons of models."""
    columns = (
        ("l", "first minus second"),
        ("r", "personas"),
        ("r", "problems"),
        ("l", "mean (points)"),
        ("l", "cross-fitted worst (points)"),
        ("l", "swap test: PSS"),
        ("l", "swap test: worst (points)"),
        ("l", "swap test: mean (points)"),
    )
    rows = [_pair_row(pair) for pair in comparisons]
    caption = (
        "Pairs of models: differences with 95 % intervals, and the swap test, whose null is that on every problem it "
        "does not matter which of the two models answered (two-sided p)."
    )
    return table(caption, columns, rows)


def _pair_row(pair: PairComparison) -> list[str]:
    row = [f"{pair.first} minus {pair.second}", str(pair.personas), str(pair.problems)]
    if pair.refused is not None:
        return [*row, f"refused: {pair.refused}", *[fmt.MISSING] * 4]
    row += [fmt.with_limits(interval, fmt.points) for interval in (pair.mean_difference, pair.worst_difference)]
    test = pair.swap_test
    if test is None:
        return [*row, "refused: a model has no correct answer", *[fmt.MISSING] * 2]
    return [
        *row,
        f"{fmt.change(test.pss_difference)}, {fmt.p_value(test.pss_p_value)}",
        f"{fmt.points(test.worst_difference)}, {fmt.p_value(test.worst_p_value)}",
        f"{fmt.points(test.mean_difference)}, {fmt.p_value(test.mean_p_value)}",
    ]
