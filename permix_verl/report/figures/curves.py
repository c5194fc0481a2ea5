"""Figures with a panel of curves for each model: best of k personas, and the closed form."""

from collections.abc import Mapping
from typing import Any

from permix_verl.report.figures.mpl_helpers import Models, legend, line, panels
from permix_verl.report.figures.palette import BLUE, INK, MUTED, VERMILLION

ROLES = (("best", BLUE, "^"), ("mean", INK, "o"), ("worst", VERMILLION, "v"))


def draw_best_of_k(models: Models) -> Any:
    figure, axes = panels(models, 1.9)
    curves = {label: _curves(model) for label, model in models.items()}
    height = max(max(values) - min(values) for values in map(_all, curves.values()))
    height = max(1.15 * height, 1.0)
    for axis, named in zip(axes, curves.values(), strict=True):
        for name, values in named.items():
            honest = name == "cross_fitted"
            steps = range(1, len(values) + 1)
            axis.plot(steps, values, color=BLUE if honest else MUTED, linestyle="-" if honest else "--")
        middle = (max(_all(named)) + min(_all(named))) / 2
        axis.set_ylim(middle - height / 2, middle + height / 2)
        axis.set_xticks(_ticks(len(named["apparent"])))
    figure.supxlabel("personas tried, k", fontsize=9)
    figure.supylabel("accuracy (%)", fontsize=9)
    handles = [line("apparent", MUTED, style="--")]
    if any("cross_fitted" in named for named in curves.values()):
        handles.append(line("cross-fitted", BLUE, style="-"))
    legend(figure, handles)
    return figure


def _curves(model: Mapping[str, Any]) -> dict[str, list[float]]:
    found = {name: [100 * value for value in values] for name, values in model["best_of_k"].items()}
    return {name: values for name, values in found.items() if values}


def _all(named: Mapping[str, list[float]]) -> list[float]:
    return [value for values in named.values() for value in values]


def _ticks(number: int) -> list[int]:
    """1, 2, 4, ... and the last."""
    powers = [2**power for power in range(number.bit_length()) if 2**power <= number / 1.4]
    return [*powers, number] if number > 1 else [1]


def draw_closed_form(models: Models) -> Any:
    shown = {label: model for label, model in models.items() if model["theory"]}
    if not shown:
        return None
    figure, axes = panels(shown, 2.5, sharey=True)
    for axis, model in zip(axes, shown.values(), strict=True):
        betas = [row["beta"] for row in model["theory"]]
        places = range(1, len(betas) + 1)
        axis.axvline(0.5, color=MUTED, linewidth=0.8)
        for role, colour, marker in ROLES:
            measured = model["mean"]["estimate"] if role == "mean" else model[role]["accuracy"]
            axis.plot(0, 100 * measured, marker, color=colour, markersize=6)
            smoothed, plug_in = ([100 * row[name][role] for row in model["theory"]] for name in ("smoothed", "plug_in"))
            axis.plot(places, smoothed, marker=marker, color=colour, markersize=4)
            axis.plot(places, plug_in, linestyle=":", color=colour)
        axis.set_xticks([0, *places], ["now", *(f"{beta:g}" for beta in betas)])
        axis.set_xlim(-0.5, len(betas) + 0.5)
    figure.supxlabel("KL coefficient beta (reward units); now: measured", fontsize=9)
    figure.supylabel("accuracy (%)", fontsize=9)
    marks = [line(role, colour, marker, "-", markersize=5) for role, colour, marker in ROLES]
    legend(figure, [*marks, line("plug-in", MUTED, style=":")])
    return figure
