"""Plot a run's metrics over its steps."""

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from permix_verl.runs import metrics as m
from permix_verl.runs.persona_validation import PersonaValidation, ValidationPersonas, persona_validations

_LEGEND = 12
"""Categories that a legend names at most."""
_PANELS = (
    (m.REWARD, "reward (mean of the step)"),
    (m.LENGTH, "answer length (tokens)"),
    (m.KL, "KL to the base model"),
    (m.ROLLOUT_ACTOR_CORR, "rollout-actor agreement (Pearson)"),
)


def plot_losses(metrics: m.Metrics, out: Path, title: str) -> Path:
    """Plot training loss, held-out loss, gradient norm and learning rate; write a PNG atomically."""
    plt = _pyplot()
    figure, axes = plt.subplots(1, 3, figsize=(13, 3.8), constrained_layout=True)
    panels = (
        (m.LOSS, "loss (nats a token of the response)"),
        (m.GRAD_NORM, "gradient norm"),
        (m.LEARNING_RATE, "rate"),
    )
    for axis, (name, label) in zip(axes, panels, strict=True):
        _plot(axis, metrics, name, label)
        axis.set_xlabel("step")
    held_out = [(step, values[m.VAL_LOSS]) for step, values in metrics.items() if m.VAL_LOSS in values]
    axes[0].plot(*zip(*held_out, strict=True), "s--", color="tab:orange", markersize=4, label="held-out")
    axes[0].legend(fontsize=8)
    return _save(figure, out, title)


def _pyplot() -> Any:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    return plt


def _plot(axis: Any, metrics: m.Metrics, name: str, label: str) -> None:
    points = [(step, values[name]) for step, values in metrics.items() if name in values]
    axis.plot([step for step, _ in points], [value for _, value in points], marker="o", markersize=3)
    axis.set_title(label, fontsize=10)
    axis.grid(alpha=0.3)


def _save(figure: Any, out: Path, title: str) -> Path:
    figure.suptitle(title)
    partial = out.with_suffix(".partial.png")
    figure.savefig(partial, dpi=130)
    _pyplot().close(figure)
    os.replace(partial, out)
    return out


def plot_curves(
    metrics: m.Metrics,
    out: Path,
    title: str,
    min_agreement: float,
    personas: ValidationPersonas,
    best_step: int | None = None,
) -> Path:
    """Plot a GRPO run, with accuracy by persona if it has validations, and by category if its pool has categories.

    The PNG is written atomically.

    Args:
        min_agreement: correlation that a step must reach.
        personas: the validation personas.
        best_step: step of the exported best adapter.
    """
    steps, curve = m.training_steps(metrics), persona_validations(metrics, personas)
    by_category = [category_series(metrics, name) for name in ("reward", "val_accuracy")]
    columns = 2 + bool(curve) + any(by_category)
    size = (1 + 4.5 * columns, 6.5)
    figure, axes = _pyplot().subplots(2, columns, figsize=size, sharex=True, constrained_layout=True)
    for axis, (name, label) in zip(axes[:, :2].flat, _PANELS, strict=True):
        _plot(axis, steps, name, label)
        if name == m.ROLLOUT_ACTOR_CORR:
            axis.axhline(min_agreement, color="tab:red", linestyle="--", linewidth=1)
            axis.ticklabel_format(useOffset=False)
    if curve:
        steps_V = [point.step for point in curve]  # V validations
        mean = [point.mean for point in curve]
        axes[0, 0].plot(steps_V, mean, "s--", color="tab:orange", markersize=4, label=f"validation, {personas.label}")
        axes[0, 0].legend(fontsize=8)
        _plot_accuracies(axes[:, 2], curve, personas.label, best_step)
    if any(by_category):
        _plot_categories(axes[:, -1], by_category, personas.label)
    for axis in axes[1]:
        axis.set_xlabel("step")
    return _save(figure, out, title)


def category_series(metrics: m.Metrics, name: str) -> dict[str, list[tuple[int, float]]]:
    """Return category slug -> (step, value) of ``category/SLUG/NAME``, sorted by slug; empty for fewer than two."""
    series: dict[str, list[tuple[int, float]]] = {}
    for step, values in metrics.items():
        for key, value in values.items():
            if key.startswith("category/") and key.endswith(f"/{name}"):
                series.setdefault(key.split("/")[1], []).append((step, value))
    return dict(sorted(series.items())) if len(series) > 1 else {}


def _plot_categories(axes: Any, by_category: Sequence[dict[str, list[tuple[int, float]]]], label: str) -> None:
    """Plot reward by category above, and validation accuracy by category below; the same color means the same one."""
    titles = ("reward by category\n(mean of the step)", f"validation accuracy by category\n({label})")
    slugs = sorted({slug for series in by_category for slug in series})
    colors = {slug: f"C{number % 10}" for number, slug in enumerate(slugs)}
    for axis, series, title in zip(axes, by_category, titles, strict=True):
        for slug, points in series.items():
            axis.plot(*zip(*points, strict=True), "o-", color=colors[slug], markersize=3, linewidth=1, label=slug)
        axis.set_title(title, fontsize=10)
        axis.set_ylim(-0.03, 1.03)
        axis.grid(alpha=0.3)
        if 0 < len(series) <= _LEGEND:
            axis.legend(fontsize=7, ncols=2)


def _plot_accuracies(axes: Any, curve: Sequence[PersonaValidation], label: str, best_step: int | None) -> None:
    """Plot worst (with standard error), mean and best accuracy above, and PSS below, with gaps if undefined."""
    steps_V = [point.step for point in curve]
    worst = [point.worst for point in curve]
    errors = [point.standard_error(point.worst) or 0.0 for point in curve]
    axes[0].errorbar(steps_V, worst, errors, fmt="v-", color="tab:red", ms=4, capsize=2, label="worst (1 s.e.)")
    axes[0].plot(steps_V, [point.mean for point in curve], "s--", color="tab:orange", markersize=4, label="mean")
    axes[0].plot(steps_V, [point.best for point in curve], "^:", color="tab:green", markersize=4, label="best")
    axes[0].set_title(f"validation accuracy by persona\n({label})", fontsize=10)
    pss = [math.nan if point.pss is None else point.pss for point in curve]
    axes[1].plot(steps_V, pss, "o-", color="tab:purple", markersize=4)
    axes[1].set_title(f"PSS: worst / best\n({label})", fontsize=10)
    for axis in axes:
        axis.set_ylim(-0.03, 1.03)
        axis.grid(alpha=0.3)
        if best_step is not None:
            axis.axvline(best_step, color="gray", linestyle="--", linewidth=1, label=f"best_adapter: step {best_step}")
    axes[0].legend(fontsize=7, ncols=2)
