"""Paths inside a run folder, and the last complete checkpoint."""

import contextlib
import math
import zipfile
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from permix_verl.runs.trainers import GRPO, Trainer
from permix_verl.utils import processes
from permix_verl.utils.files import file_lock, write_atomic


@dataclass(frozen=True)
class RunFolder:
    """Paths inside a run folder."""

    path: Path
    trainer: Trainer = GRPO

    @property
    def data(self) -> Path:
        return self.path / "data"

    @property
    def new_data(self) -> Path:
        """Folder of freshly prepared data; it becomes ``data`` once the settings match this run."""
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
    def best_adapter(self) -> Path:
        """Adapter of the step with the best worst-persona accuracy in validation."""
        return self.path / "best_adapter"

    @property
    def best(self) -> Path:
        """Best step, its metrics and the selection rule, as JSON."""
        return self.path / "best.json"

    @property
    def stash(self) -> Path:
        """Adapters of saved steps that may be the best; verl removes old checkpoints, but not these."""
        return self.path / "kept"

    @property
    def robustness_csv(self) -> Path:
        """Worst, mean and best accuracy and PSS of each validation."""
        return self.path / "robustness.csv"

    @property
    def initial_adapter(self) -> Path:
        """Adapter that LoRA training starts from."""
        return self.path / "initial_adapter"

    @property
    def run_checks(self) -> Path:
        """Checks of a finished run, as JSON."""
        return self.path / "verdict.json"

    @property
    def tracker(self) -> Path:
        """verl's tracker: the step of the last checkpoint that it finished writing."""
        return self.checkpoints / "latest_checkpointed_iteration.txt"

    @property
    def token(self) -> Path:
        """Token in the environment of the last launch's processes."""
        return self.path / ".token"

    @property
    def config(self) -> Path:
        """Configuration of the last launch, as composed for verl."""
        return self.path / "config.yaml"

    @property
    def key_reads(self) -> Path:
        """Configuration keys that the processes of each launch have read."""
        return self.path / "key_reads"

    @property
    def settings(self) -> Path:
        return self.path / "run.json"


@contextlib.contextmanager
def lock_run_folder(folder: RunFolder) -> Iterator[None]:
    """Lock the run folder, and end processes that a killed earlier launch left running.

    Raises:
        UserError: another launch is using the folder.
    """
    problem = f"another run is using {folder.path}"
    with file_lock(folder.path / ".lock", problem, "wait for it, or set another RUN_DIR"):
        if folder.token.is_file():
            left = processes.end_processes(folder.token.read_text())
            if left:
                print(f"ended {left} processes that an earlier launch of this run left behind")
        yield


def finished_step(folder: RunFolder) -> int:
    """Return the step of the newest complete checkpoint; 0 without one.

    A truncated tracker (verl truncates the file, then writes it) is repaired first.
    """
    if not folder.tracker.is_file():
        return 0
    text = folder.tracker.read_text()
    if text.isdigit() and _is_complete(folder, folder.checkpoints / f"global_step_{text}"):
        return int(text)
    return rewind_tracker(folder, before=None)


def _is_complete(folder: RunFolder, checkpoint: Path) -> bool:
    """Return whether a checkpoint is complete.

    verl's SFT trainer updates the tracker when rank 0 has finished, so the dataloader state of every rank is checked.
    """
    if not folder.trainer.torchrun:
        return checkpoint.is_dir()
    ranks = len(list(checkpoint.glob("model_world_size_*_rank_*.pt")))
    return ranks > 0 and all(zipfile.is_zipfile(checkpoint / f"data_{rank}.pt") for rank in range(ranks))


def recorded_step(folder: RunFolder, logged: Collection[int], total: int) -> int:
    """Return the step to resume from: of the newest checkpoint, or of an older one if its step was not logged.

    verl saves a checkpoint before it writes the step's rollouts and metrics. A step killed in between is trained again,
    so that every step is logged. If there is no older checkpoint, the newest is used unless it is the first or last.

    Args:
        logged: steps in the metrics.
        total: steps of the whole run.
    """
    done = finished_step(folder)
    if done == 0 or done in logged:
        return done
    older = rewind_tracker(folder, before=done)
    if older or done == 1 or done >= total:
        return older
    write_atomic(folder.tracker, str(done))
    return done


def latest_checkpoint(folder: RunFolder) -> Path | None:
    """Return the newest complete checkpoint, verl's ``global_step_N`` folder, or ``None``."""
    step = finished_step(folder)
    return folder.checkpoints / f"global_step_{step}" if step else None


def rewind_tracker(folder: RunFolder, before: int | None) -> int:
    """Set verl's tracker to the newest complete checkpoint before step ``before``, if given; return its step, or 0."""
    limit = math.inf if before is None else before
    steps = [
        step
        for path in folder.checkpoints.glob("global_step_*")
        if (step := int(path.name.rsplit("_", 1)[1])) < limit
        # verl writes the dataloader state last, and its GRPO trainer removes only actor/ of an old checkpoint.
        and (path / folder.trainer.loader_state).is_file()
        and (path / folder.trainer.weights / "lora_train_meta.json").is_file()
        and _is_complete(folder, path)
    ]
    if not steps:
        folder.tracker.unlink(missing_ok=True)
        return 0
    write_atomic(folder.tracker, str(max(steps)))
    return max(steps)
