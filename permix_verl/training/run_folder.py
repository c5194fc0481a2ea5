"""The folder of a run: where its things lie, what it was begun with, how far it is."""

import contextlib
import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from permix_verl.errors import UserError

FREE_TO_CHANGE = ("trainer.total_epochs", "trainer.total_training_steps", "trainer.logger", "trainer.save_freq")
"""Overrides that may differ when a run is continued: they change what is kept or when to stop, not the run."""


@dataclass(frozen=True)
class RunFolder:
    """Where a run keeps its things."""

    path: Path

    @property
    def data(self) -> Path:
        return self.path / "data"

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def metrics(self) -> Path:
        return self.path / "metrics"

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    @property
    def adapter(self) -> Path:
        return self.path / "adapter"

    @property
    def settings(self) -> Path:
        return self.path / "run.json"


@contextlib.contextmanager
def exclusive(folder: RunFolder) -> Iterator[None]:
    with (folder.path / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(f"another run is using {folder.path}; wait for it, or set another RUN_DIR") from None
        yield


def remember_settings(folder: RunFolder, overrides: list[str]) -> None:
    """Store the run's settings, or refuse others than the folder was begun with.

    Raises:
        UserError: the folder holds a run with other settings or other data.
    """
    settings = {"overrides": as_dict(overrides), "data": _data_hashes(folder)}
    if folder.settings.is_file():
        before = json.loads(folder.settings.read_text())
        changed = _differences(before, settings)
        if changed:
            key, old, new = changed[0]
            raise UserError(
                f"{folder.path} holds a run with {key}={old}, and this command has {key}={new}"
                + (f" (and {len(changed) - 1} more differences)" if len(changed) > 1 else "")
                + "; set another RUN_DIR, or give the settings it was begun with"
            )
    partial = folder.settings.with_suffix(".partial")
    partial.write_text(json.dumps(settings, indent=2) + "\n")
    os.replace(partial, folder.settings)


def as_dict(overrides: list[str]) -> dict[str, str]:
    """Overrides by key, later ones winning as in Hydra; ``+`` is not part of a key, nor quotes of a value."""
    pairs = (override.partition("=") for override in overrides)
    return {key.lstrip("+"): value.strip("'") for key, _, value in pairs}


def _differences(before: dict[str, Any], now: dict[str, Any]) -> list[tuple[str, Any, Any]]:
    changed = [
        (key, before["overrides"].get(key), now["overrides"].get(key))
        for key in sorted(before["overrides"] | now["overrides"])
        if key not in FREE_TO_CHANGE and before["overrides"].get(key) != now["overrides"].get(key)
    ]
    if before["data"] != now["data"]:
        changed.append(("training data", before["data"], now["data"]))
    return changed


def _data_hashes(folder: RunFolder) -> dict[str, str]:
    return {
        file.name: hashlib.sha256(file.read_bytes()).hexdigest()[:16] for file in sorted(folder.data.glob("*.parquet"))
    }


def total_steps(overrides: list[str]) -> int:
    """Optimizer steps of the whole run, as verl counts them.

    Raises:
        UserError: fewer rows than one batch.
    """
    import pyarrow.parquet as pq

    settings = as_dict(overrides)
    rows = pq.read_metadata(settings["data.train_files"]).num_rows
    batch = int(settings["data.train_batch_size"])
    if rows < batch:
        raise UserError(f"{rows} training rows do not fill one batch of {batch}; set BATCH to at most {rows}")
    steps = settings.get("trainer.total_training_steps")
    return int(steps) if steps not in (None, "null") else rows // batch * int(settings["trainer.total_epochs"])


def finished_step(folder: RunFolder) -> int:
    """The step of the newest complete checkpoint; 0 without one."""
    tracker = folder.checkpoints / "latest_checkpointed_iteration.txt"
    return int(tracker.read_text()) if tracker.is_file() else 0
