"""Helpers for matplotlib figures: panels, legends, short names."""

import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from permix_verl.evaluation.analysis_types import ModelAnalysis
from permix_verl.report.formatting import one_line
from permix_verl.statistics import Interval

Models = Mapping[str, ModelAnalysis]
"""Models of one task by label."""

WIDTH = 9.375
"""Width of a figure in inches: 900 pixels on the page."""


def panels(models: Models, height: float, **shared: Any) -> tuple[Any, list[Any]]:
    """Create a figure with one panel per model, at most four in a row, titled with the models' names."""
    number = len(models)
    columns = number if number <= 4 else 3 if number in (5, 6, 9) else 4
    rows = math.ceil(number / columns)
    figure = _figure(rows * height + 0.5)
    axes = list(figure.subplots(rows, columns, sharex=True, squeeze=False, **shared).flat)
    for panel, axis in enumerate(axes):
        if panel >= number:
            axis.set_visible(False)
        elif panel + columns >= number:
            axis.tick_params(labelbottom=True)  # shared axes hide these labels above another row
    for axis, name in zip(axes, short_names(list(models)), strict=False):
        axis.set_title(wrap_name(name, 26), loc="left")
    return figure, axes[:number]


def one_panel(height: float) -> tuple[Any, Any]:
    """Create a figure with a single panel."""
    figure = _figure(height + 0.5)
    axis = figure.subplots()
    axis.grid(axis="x", visible=False)
    return figure, axis


def name_models(axis: Any, positions: Sequence[float], models: Models) -> None:
    """Label the x axis with the models' names, slanted if they would overlap."""
    names = [wrap_name(name, 24) for name in short_names(list(models))]
    widest = max(len(line) for name in names for line in name.split("\n"))
    if widest * len(names) > 110:
        axis.set_xticks(positions, names, rotation=35, ha="right", rotation_mode="anchor")
    else:
        axis.set_xticks(positions, names)
    # Keep bars narrow if there are few models.
    middle, half = (min(positions) + max(positions)) / 2, max((max(positions) - min(positions)) / 2 + 0.7, 3.0)
    axis.set_xlim(middle - half, middle + half)


def legend(figure: Any, handles: Sequence[Any]) -> None:
    """Place the legend above all panels, in as few rows as fit."""
    letters = sum(len(handle.get_label()) + 8 for handle in handles)
    columns = math.ceil(len(handles) / math.ceil(letters / 125))
    figure.legend(handles=list(handles), loc="outside upper left", ncols=columns)


def line(label: str, colour: str, marker: str = "", style: Any = "none", **settings: Any) -> Any:
    """Create a legend entry with a line or marker."""
    from matplotlib.lines import Line2D

    return Line2D([], [], color=colour, marker=marker, linestyle=style, label=label, **settings)


def patch(label: str, colour: str) -> Any:
    """Create a legend entry with a filled area."""
    from matplotlib.patches import Patch

    return Patch(facecolor=colour, label=label)


def short_names(labels: Sequence[str]) -> list[str]:
    """Strip the organisation from model names that stay unique without it."""
    names = [one_line(label) for label in labels]
    short = [name.rsplit("/", 1)[-1] or name for name in names]
    return [name if short.count(last) > 1 else last for name, last in zip(names, short, strict=True)]


def wrap_name(name: str, width: int) -> str:
    """Wrap a name to at most two lines, truncated if longer."""
    lines = textwrap.wrap(name, width) or [name]
    return "\n".join(lines if len(lines) < 3 else [lines[0], truncate("".join(lines[1:]), width)])


def truncate(name: str, width: int) -> str:
    """Truncate a name to ``width`` characters, with an ellipsis."""
    name = one_line(name)
    return name if len(name) <= width else name[: width - 1] + "…"


def percent_limits(interval: Interval) -> list[float]:
    """Return both limits of an accuracy in percent; empty if the interval is refused."""
    if interval.low is None or interval.high is None:
        return []
    return [100 * interval.low, 100 * interval.high]


def _figure(height: float) -> Any:
    # Not through pyplot, which needs a backend and keeps figures alive.
    from matplotlib.figure import Figure

    return Figure(figsize=(WIDTH, height), layout="constrained")
