"""Tables of methods pooled over training seeds, and of the differences of two methods."""

from collections.abc import Callable

from permix_verl.evaluation.analysis_pooled import MethodDifference, PooledMethod, PooledTask
from permix_verl.report import formatting as fmt
from permix_verl.report.document import Block, Section, Table, Text, table

Unit = Callable[[float | None], str]

QUANTITIES: dict[str, tuple[str, Unit, Unit]] = {
    "worst": ("worst (%)", fmt.percent, fmt.points),
    "best": ("best (%)", fmt.percent, fmt.points),
    "mean": ("mean (%)", fmt.percent, fmt.points),
    "pss": ("PSS, ratio of means", fmt.ratio, fmt.change),
}
"""Heading of each quantity, its unit, and the unit of its differences."""
NOTE = (
    "Each method's figures are averaged over its models, one for each training seed. The intervals are about other "
    "problems like these and other training seeds like these. The last two columns say what each of the two "
    "contributes: the half-width that the problems, or the seeds, would give by themselves. Two seeds give wide "
    "intervals, as t is 12.7 with one degree of freedom. No interval contains a rare failed training that no seed "
    "shows."
)
HEADINGS = ("95 % interval, problems and seeds", "± problems alone", "± seeds alone")


def pooled_section(task: PooledTask) -> Section:
    """Build the section of a task's pooled methods."""
    models = "; ".join(f"{name}: {', '.join(method.models)}" for name, method in task.methods.items())
    blocks: list[Block] = [Text(NOTE), Text(f"{models}.", "Models."), _methods_table(task)]
    if task.differences:
        blocks.append(_differences_table(task))
    return Section("Pooled over training seeds", blocks)


def _methods_table(task: PooledTask) -> Table:
    columns = (
        ("l", "method"),
        ("r", "seeds"),
        ("l", "quantity"),
        ("l", "by seed"),
        ("r", "mean over seeds"),
        ("l", HEADINGS[0]),
        ("r", HEADINGS[1]),
        ("r", HEADINGS[2]),
    )
    rows = [row for name, method in task.methods.items() for row in _method_rows(name, method)]
    return table("Worst, best and mean accuracy and PSS, averaged over training seeds.", columns, rows)


def _method_rows(name: str, method: PooledMethod) -> list[list[str]]:
    rows = []
    for quantity, pooled in method.quantities().items():
        heading, unit, _ = QUANTITIES[quantity]
        rows.append(
            [
                name,
                str(len(method.models)),
                heading,
                ", ".join(map(unit, pooled.by_seed)),
                unit(pooled.interval.estimate),
                fmt.limits(pooled.interval, unit),
                unit(pooled.from_problems),
                unit(pooled.from_seeds),
            ]
        )
    return rows


def _differences_table(task: PooledTask) -> Table:
    columns = (("l", "first minus second"), ("l", "worst (points)"), ("l", "mean (points)"), ("l", "PSS"))
    rows = [_difference_row(pair) for pair in task.differences]
    caption = (
        "Differences of two methods, with 95 % intervals over problems and training seeds. The problems are the same "
        "for both; their seeds are not paired."
    )
    return table(caption, columns, rows)


def _difference_row(pair: MethodDifference) -> list[str]:
    row = [f"{pair.first} minus {pair.second}"]
    if pair.refused is not None:
        return [*row, f"refused: {pair.refused}", *[fmt.MISSING] * 2]
    return [*row, *(fmt.with_limits(value, QUANTITIES[name][2]) for name, value in pair.quantities().items())]
