"""Figures with a panel of curves per model: best of k personas, and the closed form."""

from collections.abc import Mapping
from typing import Any, Literal

from permix_verl.evaluation.analysis_types import ModelAnalysis, PredictedAccuracy
from permix_verl.report.figures.mpl_helpers import Models, legend, line, panels
from permix_verl.report.figures.palette import BLUE, INK, MUTED, VERMILLION

Role = Literal["best", "mean", "worst"]
ROLES: tuple[tuple[Role, str, str], ...] = (("best", BLUE, "^"), ("mean", INK, "o"), ("worst", VERMILLION, "v"))
"""Accuracies over personas that the closed form predicts, with their colours and markers."""


def plot_best_of_k(models: Models) -> Any:
    """Plot accuracy against the number of personas tried."""
    figure, axes = panels(models, 1.9)
    curves = {label: _curves(model) for label, model in models.items()}
    height = max(max(values) - min(values) for values in map(_all, curves.values()))
    height = max(1.15 * height, 1.0)
    for axis, named in zip(axes, curves.values(), strict=True):
        for name, values in named.items():
            unbiased = name == "cross_fitted"
            steps = range(1, len(values) + 1)
            axis.plot(steps, values, color=BLUE if unbiased else MUTED, linestyle="-" if unbiased else "--")
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


def _curves(model: ModelAnalysis) -> dict[str, list[float]]:
    """Return the curves that are not empty, in percent."""
    return {name: [100 * value for value in values] for name, values in model.best_of_k.curves().items() if values}


def _all(named: Mapping[str, list[float]]) -> list[float]:
    return [value for values in named.values() for value in values]


def _ticks(number: int) -> list[int]:
    """Return the powers of two, and the last number."""
    powers = [2**power for power in range(number.bit_length()) if 2**power <= number / 1.4]
    return [*powers, number] if number > 1 else [1]


def plot_closed_form(models: Models) -> Any:
    """Plot measured accuracy and the closed form's predictions against the KL coefficient."""
    shown = {label: model for label, model in models.items() if model.theory}
    if not shown:
        return None
    figure, axes = panels(shown, 2.5, sharey=True)
    for axis, model in zip(axes, shown.values(), strict=True):
        betas = [prediction.beta for prediction in model.theory]
        positions = range(1, len(betas) + 1)
        axis.axvline(0.5, color=MUTED, linewidth=0.8)
        for role, colour, marker in ROLES:
            axis.plot(0, 100 * _measured(model, role), marker, color=colour, markersize=6)
            smoothed = [100 * _predicted(prediction.smoothed, role) for prediction in model.theory]
            plug_in = [100 * _predicted(prediction.plug_in, role) for prediction in model.theory]
            axis.plot(positions, smoothed, marker=marker, color=colour, markersize=4)
            axis.plot(positions, plug_in, linestyle=":", color=colour)
        axis.set_xticks([0, *positions], ["now", *(f"{beta:g}" for beta in betas)])
        axis.set_xlim(-0.5, len(betas) + 0.5)
    figure.supxlabel("KL coefficient beta (reward units); now: measured", fontsize=9)
    figure.supylabel("accuracy (%)", fontsize=9)
    marks = [line(role, colour, marker, "-", markersize=5) for role, colour, marker in ROLES]
    legend(figure, [*marks, line("plug-in", MUTED, style=":")])
    return figure


def _measured(model: ModelAnalysis, role: Role) -> float:
    return {"best": model.best.accuracy, "mean": model.mean.estimate, "worst": model.worst.accuracy}[role]


def _predicted(accuracy: PredictedAccuracy, role: Role) -> float:
    return {"best": accuracy.best, "mean": accuracy.mean, "worst": accuracy.worst}[role]
