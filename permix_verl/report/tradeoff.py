"""Trade-off of robustness against fidelity, as in the paper: all models in one table and one figure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from permix_verl.report import formatting as fmt
from permix_verl.report.document import Block, Section, Table, Text, table
from permix_verl.report.figures.mpl_helpers import WIDTH, short_names, truncate
from permix_verl.report.figures.palette import BLUE, GREEN, INK, MUTED, PURPLE, VERMILLION
from permix_verl.report.figures.svg import render_picture
from permix_verl.statistics import Interval


@dataclass(frozen=True)
class TaskRobustness:
    """Robustness of a model on one task: accuracies as fractions, PSS with its interval."""

    worst: float
    mean: float
    pss: float | None
    pss_interval: Interval


@dataclass(frozen=True)
class Point:
    """A model in the trade-off: its robustness on each task and its fidelity by each measure.

    Attributes:
        group: models of one group share colour, marker and name in the figure.
        robustness: by task.
        fidelity: by task if measured on the task's own completions, else under ""; then by measure.
    """

    label: str
    group: str
    robustness: Mapping[str, TaskRobustness]
    fidelity: Mapping[str, Mapping[str, Interval]]


@dataclass(frozen=True)
class Measure:
    """A measure of fidelity: its key, its heading, its format in tables and its scale factor in the figure."""

    name: str
    heading: str
    unit: Callable[[float | None], str]
    factor: float = 1.0


def section(
    points: Sequence[Point], measures: Sequence[Measure], note: str, *, name: str = "tradeoff"
) -> Section | None:
    """Build the trade-off's section; ``None`` if no model has both robustness and fidelity.

    Args:
        points: the models.
        measures: measures of fidelity; the figure shows the first.
        note: a sentence that defines the measures.
        name: id of the figure, unique in the page.
    """
    both = [point for point in points if point.robustness and point.fidelity]
    if not both:
        return None
    tasks = list(dict.fromkeys(task for point in both for task in point.robustness))
    blocks: list[Block] = [
        Text(
            "Robustness is the PSS of a task: 1 where personas change nothing. A model that ignores its persona is "
            f"robust and says nothing in character, so both are needed. {note}"
        ),
        _table(both, tasks, measures),
    ]
    picture = render_picture(
        name,
        lambda: _figure(both, tasks, measures[0]),
        "Robustness against fidelity",
        f"Up and to the right is better. Across: PSS; up: {measures[0].heading}; bars are 95 % intervals where there "
        "are any.",
    )
    return Section("Robustness and fidelity", [*blocks, *([picture] if picture else [])])


def _fidelity(point: Point, task: str) -> Mapping[str, Interval]:
    return point.fidelity.get(task) or point.fidelity.get("") or {}


def _table(points: Sequence[Point], tasks: Sequence[str], measures: Sequence[Measure]) -> Table:
    columns = (
        ("l", "model"),
        ("l", "task"),
        ("r", "worst (%)"),
        ("r", "mean (%)"),
        ("l", "PSS"),
        *(("l", measure.heading) for measure in measures),
    )
    rows = [
        [
            point.label,
            task,
            fmt.percent(point.robustness[task].worst),
            fmt.percent(point.robustness[task].mean),
            _pss(point.robustness[task]),
            *(fmt.with_limits(_fidelity(point, task).get(measure.name), measure.unit) for measure in measures),
        ]
        for point in points
        for task in tasks
        if task in point.robustness
    ]
    return table("Accuracy, PSS and fidelity side by side.", columns, rows)


def _pss(robustness: TaskRobustness) -> str:
    pss = float("nan") if robustness.pss is None else robustness.pss
    return fmt.with_limits(replace(robustness.pss_interval, estimate=pss), fmt.ratio)


def _figure(points: Sequence[Point], tasks: Sequence[str], measure: Measure) -> Any:
    from matplotlib.figure import Figure

    groups = list(dict.fromkeys(point.group for point in points))
    styles = {
        group: ((BLUE, VERMILLION, GREEN, PURPLE, INK, MUTED)[number % 6], "osD^vP"[(number + number // 6) % 6])
        for number, group in enumerate(groups)
    }
    names = dict(zip(groups, short_names(groups), strict=True))
    figure = Figure(figsize=(WIDTH, 3.6), layout="constrained")
    axes = figure.subplots(1, len(tasks), squeeze=False, sharey=True)[0]
    has_points = False
    for axis, task in zip(axes, tasks, strict=True):
        for point in points:
            fidelity = _fidelity(point, task).get(measure.name)
            robustness = point.robustness.get(task)
            if robustness is None or robustness.pss is None or fidelity is None:
                continue
            if not fmt.is_number(fidelity.estimate):
                continue
            has_points = True
            colour, marker = styles[point.group]
            x, y = robustness.pss, measure.factor * fidelity.estimate
            axis.errorbar(
                [x],
                [y],
                xerr=_bars(robustness.pss_interval, x, 1.0),
                yerr=_bars(fidelity, y, measure.factor),
                color=colour,
                marker=marker,
                markersize=7,
                linestyle="none",
                elinewidth=1,
            )
            axis.annotate(
                truncate(names[point.group], 24), (x, y), xytext=(6, 5), textcoords="offset points", color=INK
            )
        axis.set_title(f"task {truncate(task, 30)}", loc="left")
        axis.set_xlabel("PSS")
        axis.margins(0.18)
    axes[0].set_ylabel(measure.heading)
    return figure if has_points else None


def _bars(interval: Interval, middle: float, factor: float) -> list[list[float]] | None:
    """Return the lengths of the lower and the upper error bar; ``None`` if the interval is refused."""
    if interval.low is None or interval.high is None:
        return None
    low, high = factor * interval.low, factor * interval.high
    return [[max(middle - low, 0.0)], [max(high - middle, 0.0)]]
