"""Figures of a task: each function plots all models and returns a matplotlib figure, or ``None`` without data."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from permix_verl.report.figures.curves import plot_best_of_k, plot_closed_form
from permix_verl.report.figures.mpl_helpers import Models, legend, line, name_models, one_panel, panels, patch, truncate
from permix_verl.report.figures.palette import BLUE, GREEN, INK, MUTED, PURPLE, VERMILLION


@dataclass(frozen=True, slots=True)
class Plot:
    """A figure of the report: its name, title, caption and plotting function."""

    name: str
    title: str
    caption: str
    make_figure: Callable[[Models], Any]


FAMILIES = (("Qwen", BLUE), ("Llama", VERMILLION), ("Gemma", GREEN), ("other", PURPLE))
GAP = 0.6
"""Gap between families, in bars."""


def family_of(label: str, model: str) -> str:
    """Find a model's family in its name, else in its folder's name."""
    for name in (model.lower(), label.lower()):
        for family, _ in FAMILIES[:-1]:
            if family.lower() in name:
                return family
    return FAMILIES[-1][0]


def plot_personas(models: Models) -> Any:
    """Plot accuracy under each persona, one panel per model."""
    keys = list(dict.fromkeys(persona["persona"] for model in models.values() for persona in model["personas"]))
    row_of = {persona: row for row, persona in enumerate(keys)}
    figure, axes = panels(models, 0.55 + 0.16 * len(keys), sharey=True)
    for axis, model in zip(axes, models.values(), strict=True):
        if model["no_persona"] is not None:
            axis.axvline(100 * model["no_persona"]["accuracy"], color=MUTED, linestyle="--", linewidth=1)
        axis.axvline(100 * model["mean"]["estimate"], color=MUTED, linewidth=1)
        worst, best = model["worst"]["persona"], model["best"]["persona"]
        rest = [persona for persona in model["personas"] if persona["persona"] not in (worst, best)]
        _plot_personas(axis, rest, row_of, "o", INK, 4)
        # Plot the worst last: if all are equal it is also the best, and its marker stays visible.
        for ends, marker, colour in ((best, "^", BLUE), (worst, "v", VERMILLION)):
            _plot_personas(
                axis,
                [persona for persona in model["personas"] if persona["persona"] == ends],
                row_of,
                marker,
                colour,
                6,
            )
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
    if any(persona["interval"]["low"] is not None for model in models.values() for persona in model["personas"]):
        handles.insert(3, line("95 % interval", INK, style="-", alpha=0.45, linewidth=2))
    if any(model["no_persona"] is not None for model in models.values()):
        handles.append(line("no persona", MUTED, style="--", linewidth=1))
    legend(figure, handles)
    return figure


def _plot_personas(
    axis: Any, personas: Sequence[Mapping[str, Any]], row_of: Mapping[str, int], marker: str, colour: str, size: int
) -> None:
    for persona in personas:
        low, high = persona["interval"]["low"], persona["interval"]["high"]
        if low is not None:
            axis.hlines(row_of[persona["persona"]], 100 * low, 100 * high, color=colour, alpha=0.45, linewidth=2)
    values = [100 * persona["accuracy"] for persona in personas]
    rows = [row_of[persona["persona"]] for persona in personas]
    axis.plot(values, rows, marker, color=colour, markersize=size)


def plot_ranges(models: Models) -> Any:
    """Plot worst, mean and best accuracy of each model."""
    figure, axis = one_panel(3.4)
    for position, model in enumerate(models.values()):
        mean, worst, best = model["mean"], model["worst"]["accuracy"], model["best"]["accuracy"]
        axis.plot([position, position], [100 * worst, 100 * best], color=MUTED, linewidth=1.5)
        if mean["low"] is not None:
            axis.plot([position] * 2, [100 * mean["low"], 100 * mean["high"]], color=INK, alpha=0.25, linewidth=9)
        axis.plot(position, 100 * mean["estimate"], "_", color=INK, markersize=20, markeredgewidth=2)
        axis.plot(position, 100 * worst, "v", color=VERMILLION, markersize=7)
        axis.plot(position, 100 * best, "^", color=BLUE, markersize=7)
        for name, marker, colour in (("worst", "v", VERMILLION), ("best", "^", BLUE)):
            _plot_cross_fitted(axis, position + 0.2, model[f"cross_fitted_{name}"], marker, colour)
    axis.set_ylabel("accuracy (%)")
    name_models(axis, range(len(models)), models)
    handles = [
        line("best", BLUE, "^"),
        line("mean over personas", INK, "_", markersize=14, markeredgewidth=2),
        line("worst", VERMILLION, "v"),
    ]
    if any(model["mean"]["low"] is not None for model in models.values()):
        handles.append(line("95 % interval of the mean", INK, style="-", linewidth=9, alpha=0.25))
    if any(model["cross_fitted_worst"]["estimate"] is not None for model in models.values()):
        handles.append(line("best, cross-fitted", BLUE, "^", markerfacecolor="none"))
        handles.append(line("worst, cross-fitted", VERMILLION, "v", markerfacecolor="none"))
    legend(figure, handles)
    return figure


def _plot_cross_fitted(axis: Any, position: float, interval: Mapping[str, Any], marker: str, colour: str) -> None:
    if interval["estimate"] is None:
        return
    if interval["low"] is not None:
        axis.plot([position] * 2, [100 * interval["low"], 100 * interval["high"]], color=colour, linewidth=1)
    axis.plot(position, 100 * interval["estimate"], marker, color=colour, markersize=6, markerfacecolor="none")


def plot_pss(models: Models) -> Any:
    """Plot PSS bars, grouped by model family."""
    families = {label: family_of(label, model["model"]) for label, model in models.items()}
    order = [name for name, _ in FAMILIES]
    # sorted() is stable, so it keeps the given order within a family.
    sorted_models = {label: models[label] for label in sorted(models, key=lambda label: order.index(families[label]))}
    positions: list[float] = []
    for before, label in zip([None, *sorted_models], sorted_models, strict=False):
        gap = GAP if before is not None and families[before] != families[label] else 0.0
        positions.append(positions[-1] + 1 + gap if positions else 0.0)
    figure, axis = one_panel(3.4)
    colours = dict(FAMILIES)
    for position, (label, model) in zip(positions, sorted_models.items(), strict=True):
        _plot_bar(axis, position, model, colours[families[label]])
    axis.axhline(1, color=MUTED, linewidth=1)
    axis.set_ylim(0, 1.12)
    axis.set_yticks([0, 0.2, 0.4, 0.6, 0.8, 1])
    axis.set_ylabel("PSS (ratio of means)")
    name_models(axis, positions, sorted_models)
    handles = [patch(family, colour) for family, colour in FAMILIES if family in families.values()]
    if any(model["pss_interval"]["low"] is not None for model in models.values()):
        handles.append(line("95 % interval", INK, style="-"))
    if any(model["invariance"] for model in models.values()):
        handles.append(line("persona-invariant model, sharp null", INK, "D", "-", markersize=4))
        handles.append(
            line("persona-invariant model, blocks null", INK, "o", "-", markersize=4, markerfacecolor="none")
        )
    legend(figure, handles)
    return figure


def _plot_bar(axis: Any, position: float, model: Mapping[str, Any], colour: str) -> None:
    pss, interval = model["pss_ratio_of_means"], model["pss_interval"]
    if pss is None:
        axis.text(position, 0.02, "no PSS", ha="center", fontsize=8)
        return
    axis.bar(position, pss, width=0.75, color=colour)
    axis.text(position, 1.03, f"{pss:.3f}", ha="center", fontsize=8)
    if interval["low"] is not None:
        axis.plot([position] * 2, [interval["low"], interval["high"]], color=INK)
    for null, side, marker, fill in (("sharp", -0.24, "D", INK), ("blocks", 0.24, "o", "none")):
        test = model["invariance"].get(null)
        if test:
            axis.plot([position + side] * 2, [test["low"], test["high"]], color=INK, linewidth=1)
            axis.plot(position + side, test["expected"], marker, color=INK, markersize=4, markerfacecolor=fill)


def plot_runs(models: Models) -> Any:
    """Plot the PSS of each run and both summaries."""
    shown = {label: model for label, model in models.items() if set(model["pss_of_runs"]) - {None}}
    if not shown:
        return None
    figure, axis = one_panel(2.9)
    for position, model in enumerate(shown.values()):
        runs = model["pss_of_runs"]
        for run, value in enumerate(runs):
            if value is not None:
                axis.plot(position + 0.06 * (run - (len(runs) - 1) / 2), value, "o", color=MUTED, markersize=5)
        for name, colour, style in (("pss_ratio_of_means", BLUE, "-"), ("pss_mean_of_run_ratios", VERMILLION, "--")):
            if model[name] is not None:
                axis.plot(
                    [position - 0.3, position + 0.3], [model[name]] * 2, color=colour, linestyle=style, linewidth=2
                )
    axis.set_ylabel("PSS")
    name_models(axis, range(len(shown)), shown)
    legend(
        figure,
        [
            line("one run", MUTED, "o"),
            line("ratio of means", BLUE, style="-", linewidth=2),
            line("mean of run ratios", VERMILLION, style="--", linewidth=2),
        ],
    )
    return figure


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
