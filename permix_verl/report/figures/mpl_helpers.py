"""What the figures share: panels, legends, short names."""

import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from permix_verl.report.formatting import one_line

Models = Mapping[str, Mapping[str, Any]]
"""Models of one task by label, as ``analysis.analyse_model`` gives them."""

WIDTH = 9.375
"""Inches; 900 pixels on the page."""


def panels(models: Models, height: float, **shared: Any) -> tuple[Any, list[Any]]:
    """A panel a model, at most four in a row, titled by the models' names."""
    number = len(models)
    columns = number if number <= 4 else 3 if number in (5, 6, 9) else 4
    rows = math.ceil(number / columns)
    figure = _figure(rows * height + 0.5)
    axes = list(figure.subplots(rows, columns, sharex=True, squeeze=False, **shared).flat)
    for place, axis in enumerate(axes):
        if place >= number:
            axis.set_visible(False)
        elif place + columns >= number:
            axis.tick_params(labelbottom=True)  # sharing hides these numbers wherever a row lies below
    for axis, name in zip(axes, short_names(list(models)), strict=False):
        axis.set_title(wrapped(name, 26), loc="left")
    return figure, axes[:number]


def one_panel(models: Models, height: float) -> tuple[Any, Any]:
    figure = _figure(height + 0.5)
    axis = figure.subplots()
    axis.grid(axis="x", visible=False)
    return figure, axis


def name_models(axis: Any, places: Sequence[float], models: Models) -> None:
    """Models along the x axis; slanted where they would run into each other."""
    names = [wrapped(name, 24) for name in short_names(list(models))]
    widest = max(len(line) for name in names for line in name.split("\n"))
    if widest * len(names) > 110:
        axis.set_xticks(places, names, rotation=35, ha="right", rotation_mode="anchor")
    else:
        axis.set_xticks(places, names)
    # Few models do not get bars as wide as a hand.
    middle, half = (min(places) + max(places)) / 2, max((max(places) - min(places)) / 2 + 0.7, 3.0)
    axis.set_xlim(middle - half, middle + half)


def legend(figure: Any, handles: Sequence[Any]) -> None:
    """Above all panels, in as few lines as fit."""
    letters = sum(len(handle.get_label()) + 8 for handle in handles)
    columns = math.ceil(len(handles) / math.ceil(letters / 125))
    figure.legend(handles=list(handles), loc="outside upper left", ncols=columns)


def line(label: str, colour: str, marker: str = "", style: Any = "none", **settings: Any) -> Any:
    """An entry of a legend."""
    from matplotlib.lines import Line2D

    return Line2D([], [], color=colour, marker=marker, linestyle=style, label=label, **settings)


def patch(label: str, colour: str) -> Any:
    """An entry of a legend: a filled area."""
    from matplotlib.patches import Patch

    return Patch(facecolor=colour, label=label)


def short_names(labels: Sequence[str]) -> list[str]:
    """Without the organisation, where that leaves them different."""
    names = [one_line(label) for label in labels]
    short = [name.rsplit("/", 1)[-1] or name for name in names]
    return [name if short.count(last) > 1 else last for name, last in zip(names, short, strict=True)]


def wrapped(name: str, width: int) -> str:
    """On at most two lines."""
    lines = textwrap.wrap(name, width) or [name]
    return "\n".join(lines if len(lines) < 3 else [lines[0], cut("".join(lines[1:]), width)])


def cut(name: str, width: int) -> str:
    name = one_line(name)
    return name if len(name) <= width else name[: width - 1] + "…"


def _figure(height: float) -> Any:
    # Without pyplot: no window system, nothing kept behind the scenes.
    from matplotlib.figure import Figure

    return Figure(figsize=(WIDTH, height), layout="constrained")
