"""Trackers that a run's configuration names, their libraries, and their folder in the run folder."""

from collections.abc import Mapping
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
    value = config.get("trainer.logger") or []
    return [value] if isinstance(value, str) else [str(name) for name in value]


def chosen_trackers(config: Mapping[str, Any]) -> list[str]:
    """Return those of the supported trackers that ``trainer.logger`` names, in its order."""
    return [name for name in loggers(config) if name in TRACKERS]


def trackers_folder(run_dir: Path) -> Path:
    """Return the folder inside a run folder in which trackers write."""
    return run_dir / "trackers"
