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
    "pss": ("PSS", fmt.ratio, fmt.change),
}
"""Heading of each quantity, its unit, and the unit of its differences."""
NOTE = (
    "Each method's figures are averaged over its models, one for each training seed; worst is each model's own worst "
    "persona, and PSS each model's own ratio. The intervals are about other problems like these and other training "
    "seeds like these, with the same personas, base model, data and recipe. The last two columns are the half-widths "
    "that are added in squares. The second is the t interval of the models' measured figures: it holds their own "
    "sampling noise too, so it is not zero where seeds do not differ, and with two seeds it says little about how much "
    "they do. More problems or runs narrow both. Two seeds give wide intervals, as t is 12.7 with one degree of "
    "freedom. Worst and PSS are measured too low and best too high, by noise; more seeds do not change that, more "
    "problems or runs do. The interval allows for it, so it is not centred on the estimate. The interval needs seeds "
    "whose effects are roughly normal. Where trainings fail with some probability, few seeds often show only one kind, "
    "and it then misses: with two seeds and failures in 30 to 50 % of trainings it covers about 0.6."
)
HEADINGS = ("95 % interval, problems and seeds", "half-width, problems", "half-width, seeds and noise")


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
        "for both; their seeds are not paired. Each interval is a 95 % one by itself. A base model has no training "
        "seeds and is not compared here. Differences of worst and PSS contain the difference of the two biases."
    )
    return table(caption, columns, rows)


def _difference_row(pair: MethodDifference) -> list[str]:
    row = [f"{pair.first} minus {pair.second}"]
    if pair.refused is not None:
        return [*row, f"refused: {pair.refused}", *[fmt.MISSING] * 2]
    return [*row, *(fmt.with_limits(value, QUANTITIES[name][2]) for name, value in pair.quantities().items())]
