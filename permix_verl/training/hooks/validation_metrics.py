"""Robustness over the personas of each validation, as metrics of its step: worst, mean, best and PSS, and by category.

verl logs an accuracy for each persona. What they come to is added before the step is logged, so that every logger has
it in the same series.
"""

import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from permix_verl.personas.persona import slug_of
from permix_verl.runs.persona_validation import ValidationPersonas, persona_validation, read_validation_personas
from permix_verl.training.hooks.buffer_hooks import BufferHook
from permix_verl.training.observability.persona_means import MAX_SERIES

SECTION = "robustness"
"""Section of the metrics."""
VALUES = ("worst", "mean", "best", "pss", "no_persona", "others_mean")
"""Columns of ``robustness.csv`` that are logged, if they are defined."""


def robustness_metrics(values: Mapping[str, float], personas: ValidationPersonas) -> dict[str, float]:
    """Return ``robustness/...`` of a validation's metrics; empty if it has no accuracy under any persona."""
    validation = persona_validation(0, values, personas)
    record = validation.record() if validation else {}
    return {f"{SECTION}/{name}": float(record[name]) for name in VALUES if record.get(name) is not None}


def category_accuracy(
    values: Mapping[str, float], personas: ValidationPersonas, categories: Mapping[str, str]
) -> dict[str, float]:
    """Return ``category/SLUG/val_accuracy``, the mean over the category's personas, of a validation's metrics.

    Args:
        categories: persona slug -> category. There are no metrics for more than :data:`MAX_SERIES` of them.
    """
    validation = persona_validation(0, values, personas)
    accuracy = validation.by_category(categories) if validation else {}
    return {f"category/{name}/val_accuracy": value for name, value in accuracy.items() if len(accuracy) <= MAX_SERIES}


def log_robustness(
    trainer: Any,
    read_personas: Callable[[], ValidationPersonas],
    read_categories: Callable[[], Mapping[str, str]] = dict,
) -> None:
    """Wrap the trainer's ``_validate``, for lack of a hook in verl, so that it returns the robustness, too.

    Args:
        read_personas: called at each validation, for the validation personas.
        read_categories: likewise, for the personas' categories by slug.
    """
    validate = trainer._validate

    @functools.wraps(validate)
    def validate_and_summarize() -> dict[str, float]:
        values = validate()
        personas = read_personas()
        by_category = category_accuracy(values, personas, read_categories())
        return {**values, **robustness_metrics(values, personas), **by_category}

    trainer._validate = validate_and_summarize


class LogRobustness(BufferHook):
    """Log worst, mean, best and PSS of every validation, and the accuracy by category of the training pool."""

    def on_begin(self) -> None:
        run_dir = self.run.run_dir
        trainer = self.run.trainer
        log_robustness(trainer, lambda: _personas(run_dir), lambda: _categories(trainer))


def _personas(run_dir: Path | None) -> ValidationPersonas:
    return ValidationPersonas() if run_dir is None else read_validation_personas(run_dir / "data")


def _categories(trainer: Any) -> dict[str, str]:
    """Return persona slug -> category of the training pool; empty if the data have no draw."""
    draw = getattr(getattr(trainer, "train_dataset", None), "draw", None)
    return {slug_of(key): category for key, category in draw.pool.categories().items()} if draw else {}
