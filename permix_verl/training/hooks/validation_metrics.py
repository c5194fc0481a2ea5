"""Robustness over the personas of each validation, as metrics of its step: worst, mean, best and PSS.

verl logs an accuracy for each persona. What they come to is added before the step is logged, so that every logger has
it in the same series.
"""

import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from permix_verl.runs.persona_validation import ValidationPersonas, persona_validation, read_validation_personas
from permix_verl.training.hooks.buffer_hooks import BufferHook

SECTION = "robustness"
"""Section of the metrics."""
VALUES = ("worst", "mean", "best", "pss", "no_persona", "others_mean")
"""Columns of ``robustness.csv`` that are logged, if they are defined."""


def robustness_metrics(values: Mapping[str, float], personas: ValidationPersonas) -> dict[str, float]:
    """Return ``robustness/...`` of a validation's metrics; empty if it has no accuracy under any persona."""
    validation = persona_validation(0, values, personas)
    record = validation.record() if validation else {}
    return {f"{SECTION}/{name}": float(record[name]) for name in VALUES if record.get(name) is not None}


def log_robustness(trainer: Any, read_personas: Callable[[], ValidationPersonas]) -> None:
    """Wrap the trainer's ``_validate``, for lack of a hook in verl, so that it returns the robustness, too.

    Args:
        read_personas: called at each validation, for the validation personas.
    """
    validate = trainer._validate

    @functools.wraps(validate)
    def validate_and_summarize() -> dict[str, float]:
        values = validate()
        return {**values, **robustness_metrics(values, read_personas())}

    trainer._validate = validate_and_summarize


class LogRobustness(BufferHook):
    """Log worst, mean, best and PSS of every validation."""

    def on_begin(self) -> None:
        run_dir = self.run.run_dir
        log_robustness(self.run.trainer, lambda: _personas(run_dir))


def _personas(run_dir: Path | None) -> ValidationPersonas:
    return ValidationPersonas() if run_dir is None else read_validation_personas(run_dir / "data")
