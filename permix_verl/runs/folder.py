"""The folder of a run: where its things lie, how far it is."""

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
    def best_adapter(self) -> Path:
        """Of the step whose worst persona was best in validation."""
        return self.path / "best_adapter"

    @property
    def best(self) -> Path:
        """Which step that was, and what it was chosen by, as JSON."""
        return self.path / "best.json"

    @property
    def kept(self) -> Path:
        """Adapters of saved steps that may be the best, out of reach of verl's removal of old checkpoints."""
        return self.path / "kept"

    @property
    def robustness(self) -> Path:
        """Worst, mean, best and PSS of each validation."""
        return self.path / "robustness.csv"

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
    with file_lock(folder.path / ".lock", refusal):
        if folder.token.is_file():
            left = processes.end_processes(folder.token.read_text())
            if left:
                print(f"ended {left} processes that an earlier launch of this run had left behind")
        yield


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
    write_atomic(folder.tracker, str(done))
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
    write_atomic(folder.tracker, str(max(steps)))
    return max(steps)
