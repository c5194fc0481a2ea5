"""The folder of a run: where its things lie, what it was begun with, how far it is."""

import contextlib
import hashlib
import json
import math
import os
import shutil
import time
import zipfile
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from permix_verl import processes
from permix_verl.errors import UserError
from permix_verl.files import hold, write_whole
from permix_verl.training.kinds import GRPO, Trainer
from permix_verl.training.overrides import as_dict

FREE_TO_CHANGE = (
    "trainer.logger",
    "trainer.save_freq",
    "trainer.test_freq",
    "trainer.max_actor_ckpt_to_keep",
    "trainer.v1.sampler.sampler_kwargs.stall_seconds",
    "trainer.v1.sampler.sampler_kwargs.poll_interval",
)
"""Overrides that may differ when a run is continued: they change what is kept and shown, not the run.

Not the number of steps: the learning rate's schedule is stretched over it.
"""


@dataclass(frozen=True)
class RunFolder:
    """Where a run keeps its things."""

    path: Path
    trainer: Trainer = GRPO

    @property
    def data(self) -> Path:
        return self.path / "data"

    @property
    def new_data(self) -> Path:
        """Where data is prepared; it becomes ``data`` once the run is known to be this one."""
        return self.path / "data.new"

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
    def initial_adapter(self) -> Path:
        """What LoRA training starts from."""
        return self.path / "initial_adapter"

    @property
    def verdict(self) -> Path:
        """The checks of a finished run, as JSON."""
        return self.path / "verdict.json"

    @property
    def tracker(self) -> Path:
        """verl's note of the last checkpoint that it finished writing."""
        return self.checkpoints / "latest_checkpointed_iteration.txt"

    @property
    def token(self) -> Path:
        """The token of the last launch's processes."""
        return self.path / ".token"

    @property
    def settings(self) -> Path:
        return self.path / "run.json"


@contextlib.contextmanager
def exclusive(folder: RunFolder) -> Iterator[None]:
    """Hold the run's folder, and end what an earlier launch that was killed left running.

    Raises:
        UserError: another launch is using the folder.
    """
    refusal = f"another run is using {folder.path}; wait for it, or set another RUN_DIR"
    with hold(folder.path / ".lock", refusal):
        if folder.token.is_file():
            left = processes.end_all(folder.token.read_text())
            if left:
                print(f"ended {left} processes that an earlier launch of this run had left behind")
        yield


def begin(folder: RunFolder, overrides: list[str], hardware_keys: Collection[str] = ()) -> None:
    """Take over the prepared data and remember the settings, or refuse others than the run was begun with.

    Until there is a checkpoint nothing is lost by other settings, so the run begins anew.

    Args:
        folder: the run's folder, held.
        overrides: verl's, of this launch.
        hardware_keys: those that may change when a run goes on.

    Raises:
        UserError: the folder holds a run with other settings or other data. It stays as it is.
    """
    data = folder.new_data if folder.new_data.is_dir() else folder.data
    settings = {"overrides": as_dict(overrides), "data": _data_hashes(data)}
    if finished_step(folder) == 0:
        supersede(folder)
    elif folder.settings.is_file():
        changed = _differences(json.loads(folder.settings.read_text()), settings, {*FREE_TO_CHANGE, *hardware_keys})
        if changed:
            shutil.rmtree(folder.new_data, ignore_errors=True)
            key, old, new = changed[0]
            raise UserError(
                f"{folder.path} holds a run with {key}={old}, and this command has {key}={new}"
                + (f" (and {len(changed) - 1} more differences)" if len(changed) > 1 else "")
                + "; set another RUN_DIR, or give the settings it was begun with"
            )
    if data == folder.new_data:
        shutil.rmtree(folder.data, ignore_errors=True)
        os.replace(folder.new_data, folder.data)
    write_whole(folder.settings, json.dumps(settings, indent=2) + "\n")


def supersede(folder: RunFolder) -> None:
    """Set aside what is left of steps that will all be trained again, maybe with other settings."""
    stamp = folder.path / "superseded" / time.strftime("%Y%m%dT%H%M%S", time.gmtime())
    old = [folder.path / name for name in ("records", "rollouts", "validation", "live.json", "verdict.json")]
    for path in [*folder.metrics.glob("*.jsonl"), *(path for path in old if path.exists())]:
        stamp.mkdir(parents=True, exist_ok=True)
        os.replace(path, stamp / path.name)


def _differences(before: dict[str, Any], now: dict[str, Any], free: set[str]) -> list[tuple[str, Any, Any]]:
    changed = [
        (key, before["overrides"].get(key), now["overrides"].get(key))
        for key in sorted(before["overrides"] | now["overrides"])
        if key not in free and before["overrides"].get(key) != now["overrides"].get(key)
    ]
    if before["data"] != now["data"]:
        changed.append(("training data", before["data"], now["data"]))
    return changed


def _data_hashes(folder: Path) -> dict[str, str]:
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest()[:16] for file in sorted(folder.glob("*.parquet"))}


def finished_step(folder: RunFolder) -> int:
    """The step of the newest complete checkpoint; 0 without one.

    A tracker that was cut short (verl truncates, then writes) is mended first.
    """
    if not folder.tracker.is_file():
        return 0
    text = folder.tracker.read_text()
    if text.isdigit() and _is_whole(folder, folder.checkpoints / f"global_step_{text}"):
        return int(text)
    return step_back(folder, before=None)


def _is_whole(folder: RunFolder, checkpoint: Path) -> bool:
    """Whether a checkpoint that the tracker names is there.

    verl's SFT trainer names it when rank 0 has finished: the data loader's state of every other rank is looked for.
    """
    if not folder.trainer.torchrun:
        return checkpoint.is_dir()
    ranks = len(list(checkpoint.glob("model_world_size_*_rank_*.pt")))
    return ranks > 0 and all(zipfile.is_zipfile(checkpoint / f"data_{rank}.pt") for rank in range(ranks))


def recorded_step(folder: RunFolder, logged: Collection[int], total: int) -> int:
    """The step to go on from: of the newest checkpoint, or of an older one where its step left no record.

    verl saves first, then writes the step's rollouts and metrics. A step that was killed in
    between is trained again, so that every step has its record; unless that would throw away all
    there is of a run.

    Args:
        logged: steps that the metrics hold.
        total: steps of the whole run; its last one must have been looked at.
    """
    done = finished_step(folder)
    if done == 0 or done in logged:
        return done
    older = step_back(folder, before=done)
    if older or done == 1 or done >= total:
        return older
    write_whole(folder.tracker, str(done))
    return done


def latest_checkpoint(folder: RunFolder) -> Path | None:
    """The newest complete checkpoint, verl's ``global_step_N`` folder."""
    step = finished_step(folder)
    return folder.checkpoints / f"global_step_{step}" if step else None


def step_back(folder: RunFolder, before: int | None) -> int:
    """Point verl's tracker at the newest whole checkpoint, older than ``before`` if that is given; its step, or 0."""
    limit = math.inf if before is None else before
    steps = [
        step
        for path in folder.checkpoints.glob("global_step_*")
        if (step := int(path.name.rsplit("_", 1)[1])) < limit
        # verl writes the loader's state last, and GRPO removes only actor/ of an old checkpoint.
        and (path / folder.trainer.loader_state).is_file()
        and (path / folder.trainer.weights / "lora_train_meta.json").is_file()
        and _is_whole(folder, path)
    ]
    if not steps:
        folder.tracker.unlink(missing_ok=True)
        return 0
    write_whole(folder.tracker, str(max(steps)))
    return max(steps)
