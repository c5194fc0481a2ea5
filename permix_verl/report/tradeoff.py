"""Robustness against fidelity, the paper's trade-off: every model in one table and one picture."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from permix_verl.report import formatting as fmt
from permix_verl.report.document import Block, Section, Table, Text, table
from permix_verl.report.figures.mpl_helpers import WIDTH, cut, short_names
from permix_verl.report.figures.palette import BLUE, GREEN, INK, MUTED, PURPLE, VERMILLION
from permix_verl.report.figures.svg import draw

Interval = Mapping[str, Any]
"""An ``Interval`` as plain data."""


@dataclass(frozen=True)
class Robustness:
    """A model on one task: accuracies as fractions, PSS with its interval."""

    worst: float
    mean: float
    pss: float | None
    pss_interval: Interval


@dataclass(frozen=True)
class Standing:
    """A model: how robust on each task, how faithful by each measure.

    Attributes:
        arm: models of one arm are drawn alike.
        fidelity: by task where it was measured on the task's own answers, else under "".
    """

    label: str
    arm: str
    robustness: Mapping[str, Robustness]
    fidelity: Mapping[str, Mapping[str, Interval]]


@dataclass(frozen=True)
class Measure:
    """A measure of fidelity: its name, how it is written, and its factor in pictures."""

    name: str
    heading: str
    unit: Callable[[float | None], str]
    factor: float = 1.0


def section(
    standings: Sequence[Standing], measures: Sequence[Measure], note: str, *, name: str = "tradeoff"
) -> Section | None:
    """The trade-off, or ``None`` where no model has both sides.

    Args:
        measures: the first one is drawn.
        note: what the measures are.
        name: of the picture, unique in the page.
    """
    both = [one for one in standings if one.robustness and one.fidelity]
    if not both:
        return None
    tasks = list(dict.fromkeys(task for one in both for task in one.robustness))
    blocks: list[Block] = [
        Text(
            "Robustness is the PSS of a task: 1 where personas change nothing. A model that ignores its persona is "
            f"robust and says nothing in character, so both are needed. {note}"
        ),
        _table(both, tasks, measures),
    ]
    picture = draw(
        name,
        lambda: _figure(both, tasks, measures[0]),
        "Robustness against fidelity",
        f"Up and to the right is better. Across: PSS; up: {measures[0].heading}; bars are 95 % intervals where there "
        "are any.",
    )
    return Section("Robustness and fidelity", [*blocks, *([picture] if picture else [])])


def _fidelity(one: Standing, task: str) -> Mapping[str, Interval]:
    return one.fidelity.get(task) or one.fidelity.get("") or {}


def _table(standings: Sequence[Standing], tasks: Sequence[str], measures: Sequence[Measure]) -> Table:
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
            one.label,
            task,
            fmt.percent(one.robustness[task].worst),
            fmt.percent(one.robustness[task].mean),
            fmt.with_limits({**one.robustness[task].pss_interval, "estimate": one.robustness[task].pss}, fmt.ratio),
            *(fmt.with_limits(_fidelity(one, task).get(measure.name), measure.unit) for measure in measures),
        ]
        for one in standings
        for task in tasks
        if task in one.robustness
    ]
    return table("Accuracy, PSS and fidelity side by side.", columns, rows)


def _figure(standings: Sequence[Standing], tasks: Sequence[str], measure: Measure) -> Any:
    from matplotlib.figure import Figure

    arms = list(dict.fromkeys(one.arm for one in standings))
    looks = {
        arm: ((BLUE, VERMILLION, GREEN, PURPLE, INK, MUTED)[number % 6], "osD^vP"[(number + number // 6) % 6])
        for number, arm in enumerate(arms)
    }
    names = dict(zip(arms, short_names(arms), strict=True))
    figure = Figure(figsize=(WIDTH, 3.6), layout="constrained")
    axes = figure.subplots(1, len(tasks), squeeze=False, sharey=True)[0]
    drawn = False
    for axis, task in zip(axes, tasks, strict=True):
        for one in standings:
            faithful = _fidelity(one, task).get(measure.name)
            robust = one.robustness.get(task)
            if robust is None or robust.pss is None or faithful is None or faithful["estimate"] is None:
                continue
            drawn = True
            colour, marker = looks[one.arm]
            x, y = robust.pss, measure.factor * faithful["estimate"]
            axis.errorbar(
                [x],
                [y],
                xerr=_bars(robust.pss_interval, x, 1.0),
                yerr=_bars(faithful, y, measure.factor),
                color=colour,
                marker=marker,
                markersize=7,
                linestyle="none",
                elinewidth=1,
            )
            axis.annotate(cut(names[one.arm], 24), (x, y), xytext=(6, 5), textcoords="offset points", color=INK)
        axis.set_title(f"task {cut(task, 30)}", loc="left")
        axis.set_xlabel("PSS")
        axis.margins(0.18)
    axes[0].set_ylabel(measure.heading)
    return figure if drawn else None


def _bars(interval: Interval, middle: float, factor: float) -> list[list[float]] | None:
    if interval["low"] is None or interval["high"] is None:
        return None
    low, high = factor * interval["low"], factor * interval["high"]
    return [[max(middle - low, 0.0)], [max(high - middle, 0.0)]]
