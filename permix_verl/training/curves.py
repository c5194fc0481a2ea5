"""The picture of a run: reward, answer length, KL and rollout-actor agreement over the steps; or losses."""

import os
from pathlib import Path
from typing import Any

from permix_verl.training import metrics as m

_PANELS = (
    (m.REWARD, "reward (mean of the step)"),
    (m.LENGTH, "answer length (tokens)"),
    (m.KL, "KL to the base model"),
    (m.AGREEMENT, "rollout-actor agreement (Pearson)"),
)


def draw_losses(metrics: m.Metrics, out: Path, title: str) -> Path:
    """The picture of supervised training: loss, on held-out rows too, and what drove it. PNG, in one move."""
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


def draw_curves(metrics: m.Metrics, out: Path, title: str, min_agreement: float) -> Path:
    """The picture of a GRPO run. PNG, in one move."""
    steps = m.training_steps(metrics)
    figure, axes = _pyplot().subplots(2, 2, figsize=(10, 6.5), sharex=True, constrained_layout=True)
    for axis, (name, label) in zip(axes.flat, _PANELS, strict=True):
        _plot(axis, steps, name, label)
        if name == m.AGREEMENT:
            axis.axhline(min_agreement, color="tab:red", linestyle="--", linewidth=1)
            axis.ticklabel_format(useOffset=False)
    validations = {step: m.validation_accuracy(values) for step, values in metrics.items()}
    validations = {step: accuracy for step, accuracy in validations.items() if accuracy}
    if validations:
        mean = [sum(accuracy.values()) / len(accuracy) for accuracy in validations.values()]
        axes[0, 0].plot(list(validations), mean, "s--", color="tab:orange", markersize=4, label="validation")
        worst = [min(accuracy.values()) for accuracy in validations.values()]
        axes[0, 0].plot(list(validations), worst, "v:", color="tab:red", markersize=4, label="validation, worst arm")
        axes[0, 0].legend(fontsize=8)
    for axis in axes[1]:
        axis.set_xlabel("step")
    return _save(figure, out, title)
