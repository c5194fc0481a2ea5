"""Figures of a task: each function plots all models and returns a matplotlib figure, or ``None`` without data."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from permix_verl.evaluation.analysis_types import ConditionAnalysis
from permix_verl.report.figures.curves import plot_best_of_k, plot_closed_form
from permix_verl.report.figures.mpl_helpers import (
    Models,
    legend,
    line,
    name_models,
    one_panel,
    panels,
    percent_limits,
    truncate,
)
from permix_verl.report.figures.palette import BLUE, INK, MUTED, VERMILLION
from permix_verl.report.figures.pss_plots import plot_pss, plot_runs
from permix_verl.report.formatting import is_number
from permix_verl.statistics import Interval


@dataclass(frozen=True, slots=True)
class Plot:
    """A figure of the report: its name, title, caption and plotting function."""

    name: str
    title: str
    caption: str
    make_figure: Callable[[Models], Any]


def plot_personas(models: Models) -> Any:
    """Plot accuracy under each persona, one panel per model."""
    keys = list(dict.fromkeys(condition.persona for model in models.values() for condition in model.personas))
    row_of = {persona: row for row, persona in enumerate(keys)}
    figure, axes = panels(models, 0.55 + 0.16 * len(keys), sharey=True)
    for axis, model in zip(axes, models.values(), strict=True):
        if model.no_persona is not None:
            axis.axvline(100 * model.no_persona.accuracy, color=MUTED, linestyle="--", linewidth=1)
        axis.axvline(100 * model.mean.estimate, color=MUTED, linewidth=1)
        worst, best = model.worst.persona, model.best.persona
        rest = [condition for condition in model.personas if condition.persona not in (worst, best)]
        _plot_personas(axis, rest, row_of, "o", INK, 4)
        # Plot the worst last: if all are equal it is also the best, and its marker stays visible.
        for extreme, marker, colour in ((best, "^", BLUE), (worst, "v", VERMILLION)):
            chosen = [condition for condition in model.personas if condition.persona == extreme]
            _plot_personas(axis, chosen, row_of, marker, colour, 6)
        axis.set_yticks(range(len(keys)), [truncate(key, 26) for key in keys])
        axis.set_ylim(len(keys) - 0.4, -0.6)
        axis.grid(axis="y", visible=False)
    figure.supxlabel("accuracy (%)", fontsize=9)
    handles = [
        line("persona", INK, "o", markersize=4),
        line("worst", VERMILLION, "v"),
        line("best", BLUE, "^"),
        line("mean over personas", MUTED, style="-", linewidth=1),
    ]
    if any(condition.interval.low is not None for model in models.values() for condition in model.personas):
        handles.insert(3, line("95 % interval", INK, style="-", alpha=0.45, linewidth=2))
    if any(model.no_persona is not None for model in models.values()):
        handles.append(line("no persona", MUTED, style="--", linewidth=1))
    legend(figure, handles)
    return figure


def _plot_personas(
    axis: Any, personas: Sequence[ConditionAnalysis], row_of: Mapping[str, int], marker: str, colour: str, size: int
) -> None:
    for condition in personas:
        if limits := percent_limits(condition.interval):
            axis.hlines(row_of[condition.persona], *limits, color=colour, alpha=0.45, linewidth=2)
    values = [100 * condition.accuracy for condition in personas]
    rows = [row_of[condition.persona] for condition in personas]
    axis.plot(values, rows, marker, color=colour, markersize=size)


def plot_ranges(models: Models) -> Any:
    """Plot worst, mean and best accuracy of each model."""
    figure, axis = one_panel(3.4)
    for position, model in enumerate(models.values()):
        worst, best = model.worst.accuracy, model.best.accuracy
        axis.plot([position, position], [100 * worst, 100 * best], color=MUTED, linewidth=1.5)
        if limits := percent_limits(model.mean):
            axis.plot([position] * 2, limits, color=INK, alpha=0.25, linewidth=9)
        axis.plot(position, 100 * model.mean.estimate, "_", color=INK, markersize=20, markeredgewidth=2)
        axis.plot(position, 100 * worst, "v", color=VERMILLION, markersize=7)
        axis.plot(position, 100 * best, "^", color=BLUE, markersize=7)
        _plot_cross_fitted(axis, position + 0.2, model.cross_fitted_worst, "v", VERMILLION)
        _plot_cross_fitted(axis, position + 0.2, model.cross_fitted_best, "^", BLUE)
    axis.set_ylabel("accuracy (%)")
    name_models(axis, range(len(models)), models)
    handles = [
        line("best", BLUE, "^"),
        line("mean over personas", INK, "_", markersize=14, markeredgewidth=2),
        line("worst", VERMILLION, "v"),
    ]
    if any(model.mean.low is not None for model in models.values()):
        handles.append(line("95 % interval of the mean", INK, style="-", linewidth=9, alpha=0.25))
    if any(is_number(model.cross_fitted_worst.estimate) for model in models.values()):
        handles.append(line("best, cross-fitted", BLUE, "^", markerfacecolor="none"))
        handles.append(line("worst, cross-fitted", VERMILLION, "v", markerfacecolor="none"))
    legend(figure, handles)
    return figure


def _plot_cross_fitted(axis: Any, position: float, interval: Interval, marker: str, colour: str) -> None:
    if not is_number(interval.estimate):
        return
    if limits := percent_limits(interval):
        axis.plot([position] * 2, limits, color=colour, linewidth=1)
    axis.plot(position, 100 * interval.estimate, marker, color=colour, markersize=6, markerfacecolor="none")


PLOTS = (
    Plot(
        "personas",
        "Accuracy under each persona",
        "One panel a model, all on one scale. Lines through the marks are 95 % intervals clustered by problem, each "
        "for its own persona; there is none where it is refused. Differences between personas are more certain than "
        "these intervals look, as all personas answer the same problems.",
        plot_personas,
    ),
    Plot(
        "ranges",
        "Worst, mean and best",
        "Filled triangles are the worst and best persona as measured, the grey line joins them. The broad bar is the "
        "95 % interval of the mean over personas. Hollow triangles are the cross-fitted worst and best with their 95 "
        "% intervals. All intervals are clustered by problem; there is none where it is refused.",
        plot_ranges,
    ),
    Plot(
        "pss",
        "PSS by model family, after the paper's Figure 2",
        "Bars are the ratio of means. The line on a bar is its 95 % interval; there is none where it is refused. The "
        "small marks are the PSS that a persona-invariant model of this accuracy and size is expected to score, with "
        "the central 90 % of draws: where the bar's top lies within it, chance alone would do.",
        plot_pss,
    ),
    Plot(
        "runs",
        "PSS from run to run",
        "A dot is the PSS of one run by itself; the lines are the two summaries. No intervals: the dots' spread is "
        "what sampling of answers does, on the same problems.",
        plot_runs,
    ),
    Plot(
        "best-of-k",
        "Accuracy of the best of k personas, after the paper's Figure 1c",
        "Apparent: chosen and scored on the same answers, which rises by chance alone. Cross-fitted: chosen on half of "
        "the problems and scored on the other half. Expected values over all choices of k personas, without intervals. "
        "All panels have one scale, each at its own height.",
        plot_best_of_k,
    ),
    Plot(
        "closed-form",
        "Closed form: what persona-conditioned RLVR would do",
        "Measured accuracy at the left, then the prediction at falling KL coefficients beta (a sequence-level "
        "coefficient in units of the reward): lines are smoothed, dotted ones plug-in. Every model is treated as if "
        "it were the base model of the training. No intervals: they would not cover what the theory leaves out.",
        plot_closed_form,
    ),
)
