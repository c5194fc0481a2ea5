"""A task's figures. Each takes the task's models and gives a matplotlib figure, or ``None`` for nothing to show."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from permix_verl.report.figures.curves import draw_best_of_k, draw_closed_form
from permix_verl.report.figures.mpl_helpers import Models, cut, legend, line, name_models, one_panel, panels, patch
from permix_verl.report.figures.palette import BLUE, GREEN, INK, MUTED, PURPLE, VERMILLION


@dataclass(frozen=True, slots=True)
class Plot:
    name: str
    title: str
    caption: str
    draw: Callable[[Models], Any]


FAMILIES = (("Qwen", BLUE), ("Llama", VERMILLION), ("Gemma", GREEN), ("other", PURPLE))
GAP = 0.6
"""Between families, in bars."""


def family_of(label: str, model: str) -> str:
    """By what the names say, the model's own before the folder's."""
    for name in (model.lower(), label.lower()):
        for family, _ in FAMILIES[:-1]:
            if family.lower() in name:
                return family
    return FAMILIES[-1][0]


def draw_personas(models: Models) -> Any:
    keys = list(dict.fromkeys(arm["persona"] for model in models.values() for arm in model["personas"]))
    row_of = {persona: row for row, persona in enumerate(keys)}
    figure, axes = panels(models, 0.55 + 0.16 * len(keys), sharey=True)
    for axis, model in zip(axes, models.values(), strict=True):
        if model["no_persona"] is not None:
            axis.axvline(100 * model["no_persona"]["accuracy"], color=MUTED, linestyle="--", linewidth=1)
        axis.axvline(100 * model["mean"]["estimate"], color=MUTED, linewidth=1)
        worst, best = model["worst"]["persona"], model["best"]["persona"]
        rest = [arm for arm in model["personas"] if arm["persona"] not in (worst, best)]
        _draw_arms(axis, rest, row_of, "o", INK, 4)
        # The worst last: where all are equal it is the best, too, and one mark must be seen.
        for ends, marker, colour in ((best, "^", BLUE), (worst, "v", VERMILLION)):
            _draw_arms(axis, [arm for arm in model["personas"] if arm["persona"] == ends], row_of, marker, colour, 6)
        axis.set_yticks(range(len(keys)), [cut(key, 26) for key in keys])
        axis.set_ylim(len(keys) - 0.4, -0.6)
        axis.grid(axis="y", visible=False)
    figure.supxlabel("accuracy (%)", fontsize=9)
    handles = [
        line("persona", INK, "o", markersize=4),
        line("worst", VERMILLION, "v"),
        line("best", BLUE, "^"),
        line("mean over personas", MUTED, style="-", linewidth=1),
    ]
    if any(arm["interval"]["low"] is not None for model in models.values() for arm in model["personas"]):
        handles.insert(3, line("95 % interval", INK, style="-", alpha=0.45, linewidth=2))
    if any(model["no_persona"] is not None for model in models.values()):
        handles.append(line("no persona", MUTED, style="--", linewidth=1))
    legend(figure, handles)
    return figure


def _draw_arms(
    axis: Any, arms: Sequence[Mapping[str, Any]], row_of: Mapping[str, int], marker: str, colour: str, size: int
) -> None:
    for arm in arms:
        low, high = arm["interval"]["low"], arm["interval"]["high"]
        if low is not None:
            axis.hlines(row_of[arm["persona"]], 100 * low, 100 * high, color=colour, alpha=0.45, linewidth=2)
    values, rows = [100 * arm["accuracy"] for arm in arms], [row_of[arm["persona"]] for arm in arms]
    axis.plot(values, rows, marker, color=colour, markersize=size)


def draw_ranges(models: Models) -> Any:
    figure, axis = one_panel(models, 3.4)
    for place, model in enumerate(models.values()):
        mean, worst, best = model["mean"], model["worst"]["accuracy"], model["best"]["accuracy"]
        axis.plot([place, place], [100 * worst, 100 * best], color=MUTED, linewidth=1.5)
        if mean["low"] is not None:
            axis.plot([place] * 2, [100 * mean["low"], 100 * mean["high"]], color=INK, alpha=0.25, linewidth=9)
        axis.plot(place, 100 * mean["estimate"], "_", color=INK, markersize=20, markeredgewidth=2)
        axis.plot(place, 100 * worst, "v", color=VERMILLION, markersize=7)
        axis.plot(place, 100 * best, "^", color=BLUE, markersize=7)
        for name, marker, colour in (("worst", "v", VERMILLION), ("best", "^", BLUE)):
            _draw_cross_fitted(axis, place + 0.2, model[f"cross_fitted_{name}"], marker, colour)
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


def _draw_cross_fitted(axis: Any, place: float, interval: Mapping[str, Any], marker: str, colour: str) -> None:
    if interval["estimate"] is None:
        return
    if interval["low"] is not None:
        axis.plot([place] * 2, [100 * interval["low"], 100 * interval["high"]], color=colour, linewidth=1)
    axis.plot(place, 100 * interval["estimate"], marker, color=colour, markersize=6, markerfacecolor="none")


def draw_pss(models: Models) -> Any:
    families = {label: family_of(label, model["model"]) for label, model in models.items()}
    order = [name for name, _ in FAMILIES]
    # sorted() keeps the given order within a family.
    placed = {label: models[label] for label in sorted(models, key=lambda label: order.index(families[label]))}
    places: list[float] = []
    for before, label in zip([None, *placed], placed, strict=False):
        gap = GAP if before is not None and families[before] != families[label] else 0.0
        places.append(places[-1] + 1 + gap if places else 0.0)
    figure, axis = one_panel(placed, 3.4)
    colours = dict(FAMILIES)
    for place, (label, model) in zip(places, placed.items(), strict=True):
        _draw_bar(axis, place, model, colours[families[label]])
    axis.axhline(1, color=MUTED, linewidth=1)
    axis.set_ylim(0, 1.12)
    axis.set_yticks([0, 0.2, 0.4, 0.6, 0.8, 1])
    axis.set_ylabel("PSS (ratio of means)")
    name_models(axis, places, placed)
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


def _draw_bar(axis: Any, place: float, model: Mapping[str, Any], colour: str) -> None:
    pss, interval = model["pss_ratio_of_means"], model["pss_interval"]
    if pss is None:
        axis.text(place, 0.02, "no PSS", ha="center", fontsize=8)
        return
    axis.bar(place, pss, width=0.75, color=colour)
    axis.text(place, 1.03, f"{pss:.3f}", ha="center", fontsize=8)
    if interval["low"] is not None:
        axis.plot([place] * 2, [interval["low"], interval["high"]], color=INK)
    for null, side, marker, fill in (("sharp", -0.24, "D", INK), ("blocks", 0.24, "o", "none")):
        test = model["invariance"].get(null)
        if test:
            axis.plot([place + side] * 2, [test["low"], test["high"]], color=INK, linewidth=1)
            axis.plot(place + side, test["expected"], marker, color=INK, markersize=4, markerfacecolor=fill)


def draw_runs(models: Models) -> Any:
    shown = {label: model for label, model in models.items() if set(model["pss_of_runs"]) - {None}}
    if not shown:
        return None
    figure, axis = one_panel(shown, 2.9)
    for place, model in enumerate(shown.values()):
        runs = model["pss_of_runs"]
        for run, value in enumerate(runs):
            if value is not None:
                axis.plot(place + 0.06 * (run - (len(runs) - 1) / 2), value, "o", color=MUTED, markersize=5)
        for name, colour, style in (
            ("pss_ratio_of_means", BLUE, "-"),
            ("pss_mean_of_run_ratios", VERMILLION, "--"),
        ):
            if model[name] is not None:
                axis.plot([place - 0.3, place + 0.3], [model[name]] * 2, color=colour, linestyle=style, linewidth=2)
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
        draw_personas,
    ),
    Plot(
        "ranges",
        "Worst, mean and best",
        "Filled triangles are the worst and best persona as measured, the grey line joins them. The broad bar is the "
        "95 % interval of the mean over personas. Hollow triangles are the cross-fitted worst and best with their 95 "
        "% intervals. All intervals are clustered by problem; there is none where it is refused.",
        draw_ranges,
    ),
    Plot(
        "pss",
        "PSS by model family, after the paper's Figure 2",
        "Bars are the ratio of means. The line on a bar is its 95 % interval; there is none where it is refused. The "
        "small marks are the PSS that a persona-invariant model of this accuracy and size is expected to score, with "
        "the central 90 % of draws: where the bar's top lies within it, chance alone would do.",
        draw_pss,
    ),
    Plot(
        "runs",
        "PSS from run to run",
        "A dot is the PSS of one run by itself; the lines are the two summaries. No intervals: the dots' spread is "
        "what sampling of answers does, on the same problems.",
        draw_runs,
    ),
    Plot(
        "best-of-k",
        "Accuracy of the best of k personas, after the paper's Figure 1c",
        "Apparent: chosen and scored on the same answers, which rises by chance alone. Cross-fitted: chosen on half of "
        "the problems and scored on the other half. Expected values over all choices of k personas, without intervals. "
        "All panels have one scale, each at its own height.",
        draw_best_of_k,
    ),
    Plot(
        "closed-form",
        "Closed form: what persona-conditioned RLVR would do",
        "Measured accuracy at the left, then the prediction at falling KL coefficients beta (a sequence-level "
        "coefficient in units of the reward): lines are smoothed, dotted ones plug-in. Every model is treated as if "
        "it were the base model of the training. No intervals: they would not cover what the theory leaves out.",
        draw_closed_form,
    ),
)
