"""The picture of a run: reward, answer length, KL and rollout-actor agreement over the steps."""

import os
from pathlib import Path

from permix_verl.training import metrics as m

_PANELS = (
    (m.REWARD, "reward (mean of the step)"),
    (m.LENGTH, "answer length (tokens)"),
    (m.KL, "KL to the base model"),
    (m.AGREEMENT, "rollout-actor agreement (Pearson)"),
)


def draw_curves(metrics: m.Metrics, out: Path, title: str, min_agreement: float) -> Path:
    """Write the figure as PNG, in one move."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    steps = m.training_steps(metrics)
    figure, axes = plt.subplots(2, 2, figsize=(10, 6.5), sharex=True, constrained_layout=True)
    for axis, (name, label) in zip(axes.flat, _PANELS, strict=True):
        points = [(step, values[name]) for step, values in steps.items() if name in values]
        axis.plot([step for step, _ in points], [value for _, value in points], marker="o", markersize=3)
        axis.set_title(label, fontsize=10)
        axis.grid(alpha=0.3)
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
    figure.suptitle(title)
    partial = out.with_suffix(".partial.png")
    figure.savefig(partial, dpi=130)
    plt.close(figure)
    os.replace(partial, out)
    return out
