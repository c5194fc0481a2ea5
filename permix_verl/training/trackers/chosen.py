"""Trackers that a run's configuration names, their libraries, and their folder in the run folder."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from permix_verl.config.knobs import TRACKERS

LIBRARIES: Mapping[str, str] = {name: name for name in TRACKERS} | {
    "clearml": "clearml",
    "rl_insight": "rl_insight",
    "vemlp_wandb": "volcengine_ml_platform",
}
"""Tracker in verl's ``trainer.logger`` -> module that it imports."""


def loggers(config: Mapping[str, Any]) -> list[str]:
    """Return the names in ``trainer.logger``, which may be one string."""
    return logger_names(config.get("trainer.logger"))


def logger_names(value: str | Sequence[str] | None) -> list[str]:
    """Return the names in a value of ``trainer.logger``."""
    return [value] if isinstance(value, str) else [str(name) for name in value or ()]


def chosen_trackers(config: Mapping[str, Any]) -> list[str]:
    """Return those of the supported trackers that ``trainer.logger`` names, in its order."""
    return [name for name in loggers(config) if name in TRACKERS]


def trackers_folder(run_dir: Path) -> Path:
    """Return the folder inside a run folder in which trackers write."""
    return run_dir / "trackers"
