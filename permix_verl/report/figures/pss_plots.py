"""Figures of PSS: by model with its interval, and from run to run."""

from typing import Any

from permix_verl.evaluation.analysis_types import ModelAnalysis
from permix_verl.report.figures.mpl_helpers import Models, legend, line, name_models, one_panel, patch
from permix_verl.report.figures.palette import BLUE, GREEN, INK, MUTED, PURPLE, VERMILLION

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


def plot_pss(models: Models) -> Any:
    """Plot PSS bars, grouped by model family."""
    families = {label: family_of(label, model.model) for label, model in models.items()}
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
    if any(model.pss_interval.low is not None for model in models.values()):
        handles.append(line("95 % interval", INK, style="-"))
    if any(model.invariance for model in models.values()):
        handles.append(line("persona-invariant model, sharp null", INK, "D", "-", markersize=4))
        handles.append(
            line("persona-invariant model, blocks null", INK, "o", "-", markersize=4, markerfacecolor="none")
        )
    legend(figure, handles)
    return figure


def _plot_bar(axis: Any, position: float, model: ModelAnalysis, colour: str) -> None:
    pss, interval = model.pss_ratio_of_means, model.pss_interval
    if pss is None:
        axis.text(position, 0.02, "no PSS", ha="center", fontsize=8)
        return
    axis.bar(position, pss, width=0.75, color=colour)
    axis.text(position, 1.03, f"{pss:.3f}", ha="center", fontsize=8)
    if interval.low is not None:
        axis.plot([position] * 2, [interval.low, interval.high], color=INK)
    for null, side, marker, fill in (("sharp", -0.24, "D", INK), ("blocks", 0.24, "o", "none")):
        test = model.invariance.get(null)
        if test:
            axis.plot([position + side] * 2, [test.low, test.high], color=INK, linewidth=1)
            axis.plot(position + side, test.expected, marker, color=INK, markersize=4, markerfacecolor=fill)


def plot_runs(models: Models) -> Any:
    """Plot the PSS of each run and both summaries."""
    shown = {label: model for label, model in models.items() if set(model.pss_of_runs) - {None}}
    if not shown:
        return None
    figure, axis = one_panel(2.9)
    for position, model in enumerate(shown.values()):
        middle = (len(model.pss_of_runs) - 1) / 2
        for run, value in enumerate(model.pss_of_runs):
            if value is not None:
                axis.plot(position + 0.06 * (run - middle), value, "o", color=MUTED, markersize=5)
        summaries = ((model.pss_ratio_of_means, BLUE, "-"), (model.pss_mean_of_run_ratios, VERMILLION, "--"))
        for value, colour, style in summaries:
            if value is not None:
                axis.plot([position - 0.3, position + 0.3], [value] * 2, color=colour, linestyle=style, linewidth=2)
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
