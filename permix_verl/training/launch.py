"""Run verl's GRPO trainer, show its progress, and leave an adapter, a picture and a verdict.

    python -m permix_verl.training.launch --run-dir runs/NAME --base MODEL -- KEY=VALUE ...

The recipes call this; what follows ``--`` are verl's own Hydra overrides. The same
command goes on where an earlier one stopped. Exit status: verl's own if it failed,
3 if it finished and a check did not pass.
"""

import argparse
import contextlib
import fcntl
import hashlib
import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from permix_verl.errors import UserError, exit_with_message
from permix_verl.training import processes
from permix_verl.training.metrics import Metrics, disagreements, read_metrics, training_steps
from permix_verl.training.progress import Progress

CHECK_FAILED = 3
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


def main(argv: list[str] | None = None) -> int:
    args = parse_args(argv)
    folder = RunFolder(args.run_dir.resolve())
    for sub in (folder.checkpoints, folder.metrics, folder.logs):
        sub.mkdir(parents=True, exist_ok=True)
    with _exclusive(folder):
        settings = remember_settings(folder, args.overrides)
        total = total_steps(args.overrides)
        if finished_step(folder) >= total:
            print(f"this run is finished ({total} steps in {folder.path}); RUN_DIR=... starts another")
        else:
            status, log = train(folder, args.overrides, total, args.min_agreement)
            if status != 0:
                explain_failure(status, log)
                return status if status > 0 else 128 - status
        return conclude(folder, args, settings)


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--run-dir", type=Path, required=True, help="folder of the run")
    parser.add_argument("--base", required=True, help="hub name or folder of the model that is trained")
    parser.add_argument("--title", default="GRPO", help="heading of the figure")
    parser.add_argument("--next-command", default="", help="printed at the end")
    parser.add_argument("--min-agreement", type=float, default=0.99, help="least rollout-actor correlation of a step")
    parser.add_argument("--check-dtype", default="float32", choices=["float32", "bfloat16"])
    parser.add_argument("--check-device", default="cpu")
    parser.add_argument("--check-tolerance", type=float, default=1e-4, help="nats between adapter and actor log-probs")
    parser.add_argument("overrides", nargs="*", help="verl's Hydra overrides, behind --")
    return parser.parse_args(argv)


@contextlib.contextmanager
def _exclusive(folder: RunFolder) -> Iterator[None]:
    with (folder.path / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(f"another run is using {folder.path}; wait for it, or set another RUN_DIR") from None
        yield


def remember_settings(folder: RunFolder, overrides: list[str]) -> dict[str, Any]:
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
    return settings


def as_dict(overrides: list[str]) -> dict[str, str]:
    """Overrides by key, later ones winning as in Hydra; ``+`` is not part of the key."""
    pairs = (override.partition("=") for override in overrides)
    return {key.lstrip("+"): value for key, _, value in pairs}


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


def train(folder: RunFolder, overrides: list[str], total: int, min_agreement: float) -> tuple[int, Path]:
    """Run verl to its end; return its exit status and log. Ends every process it started, however it ends."""
    stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime())
    log = folder.logs / f"{stamp}.log"
    token = processes.new_token()
    environment = os.environ | {
        processes.TOKEN_VARIABLE: token,
        "VERL_FILE_LOGGER_PATH": str(folder.metrics / f"{stamp}.jsonl"),
        "PYTHONUNBUFFERED": "1",
    }
    command = [sys.executable, "-m", "verl.trainer.main_ppo", *overrides]
    progress = Progress(folder.metrics, log, total, min_agreement)
    progress.begin(finished_step(folder))
    with log.open("wb") as sink:
        # In a session of its own: an interrupt reaches it once, from here, not also from the terminal.
        trainer = subprocess.Popen(
            command, stdout=sink, stderr=subprocess.STDOUT, env=environment, start_new_session=True
        )
        try:
            with _terminate_as_interrupt():
                while trainer.poll() is None:
                    progress.update()
                    time.sleep(1)
        except KeyboardInterrupt:
            print("\nstopping verl; the same command goes on from the last checkpoint", file=sys.stderr)
            trainer.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                trainer.wait(timeout=60)
            raise
        finally:
            processes.end_all(token)
            trainer.wait()
    progress.end()
    return trainer.returncode, log


@contextlib.contextmanager
def _terminate_as_interrupt() -> Iterator[None]:
    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    previous = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


def explain_failure(status: int, log: Path) -> None:
    """The end of verl's log, and the line that most likely names the cause."""
    lines = log.read_text(errors="replace").splitlines()
    print("\n".join(lines[-30:]), file=sys.stderr)
    causes = [line for line in lines if "UserError" in line or "Error:" in line]
    cause = next((line for line in causes if "UserError" in line), causes[-1] if causes else "")
    print(f"\nerror: verl ended with status {status}; full log: {log}", file=sys.stderr)
    if cause:
        print(f"error: {cause.strip()[:1000]}", file=sys.stderr)


def conclude(folder: RunFolder, args: argparse.Namespace, settings: dict[str, Any]) -> int:
    """Export and check the adapter, draw the curves, print the verdict and the next command."""
    import logging

    import torch
    from transformers.utils.logging import disable_progress_bar

    from permix_verl.training.adapter import check_adapter, export_adapter, latest_checkpoint
    from permix_verl.training.callback import RECORD
    from permix_verl.training.curves import draw_curves

    disable_progress_bar()
    logging.getLogger("torch.distributed.device_mesh").setLevel(logging.ERROR)  # shards are read without their ranks
    checkpoint = latest_checkpoint(folder.checkpoints)
    if checkpoint is None:
        raise UserError(f"no checkpoint in {folder.checkpoints}; train with SAVE_FREQ of at least 1")
    metrics = read_metrics(folder.metrics)
    figure = draw_curves(metrics, folder.path / "curves.png", args.title, args.min_agreement)
    problems = agreement_problems(metrics, args.min_agreement)
    adapter = export_adapter(checkpoint, args.base, folder.adapter)
    print(f"\nadapter   {adapter}")
    try:
        check = check_adapter(
            adapter, args.base, checkpoint / RECORD, getattr(torch, args.check_dtype), args.check_device
        )
    except UserError as error:
        problems.append(f"the adapter could not be checked: {error}")
    else:
        print(
            f"          loaded with PEFT, its log-probs are within {check.largest:.1e} of the actor's over "
            f"{check.tokens} tokens, and up to {check.moved:.1e} from the base model's"
        )
        if not check.largest <= args.check_tolerance:
            problems.append(
                f"the adapter is not the trained model: log-probs differ by {check.largest:.2e} nats "
                f"(limit {args.check_tolerance:.0e}); do not use {adapter}"
            )
    print(f"curves    {figure}")
    print(f"settings  {folder.settings}, data in {folder.data} ({', '.join(settings['data'])})")
    for problem in problems:
        print(f"CHECK FAILED: {problem}", file=sys.stderr)
    if problems:
        return CHECK_FAILED
    print(f"checks    rollout and actor agree at every step (least {_least_agreement(metrics):.5f}); adapter verified")
    if args.next_command:
        print(f"\nnext: {args.next_command}")
    return 0


def agreement_problems(metrics: Metrics, threshold: float) -> list[str]:
    """What to say about steps whose rollouts were not sampled from the policy that was trained."""
    bad = disagreements(metrics, threshold)
    if not bad:
        return []
    first, worst = next(iter(bad)), min(bad.values(), key=lambda value: -math.inf if math.isnan(value) else value)
    return [
        f"rollout and actor disagree at {len(bad)} of {len(training_steps(metrics))} steps, first at step {first} "
        f"(correlation down to {worst:.3f}, limit {threshold}): the rollout engine does not sample from the policy "
        "being trained; see that the LoRA adapter reaches it (load_format=safetensors) and that the data types match"
    ]


def _least_agreement(metrics: Metrics) -> float:
    from permix_verl.training.metrics import AGREEMENT

    return min(values[AGREEMENT] for values in training_steps(metrics).values())


if __name__ == "__main__":
    exit_with_message(main)
