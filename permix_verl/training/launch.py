"""Run verl's GRPO trainer, show its progress, and leave an adapter, a picture and a verdict.

    python -m permix_verl.training.launch --run-dir runs/NAME --base MODEL -- KEY=VALUE ...

The recipes call this; what follows ``--`` are verl's own Hydra overrides. The same
command goes on where an earlier one stopped. Exit status: verl's own if it failed,
3 if it finished and a check did not pass.
"""

import argparse
import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from permix_verl.errors import exit_with_message
from permix_verl.training import processes
from permix_verl.training.progress import Progress
from permix_verl.training.run_folder import RunFolder, exclusive, finished_step, remember_settings, total_steps
from permix_verl.training.verdict import conclude

_ESCAPES = re.compile(r"\x1b\[[0-9;]*m")
_EXCEPTION = re.compile(r"(?:\([\w ]+pid=.*?\) )?(?P<name>[\w.]*(?:Error|Exception)): (?P<message>\S.*)")


def main(argv: list[str] | None = None) -> int:
    args = parse_args(argv)
    folder = RunFolder(args.run_dir.resolve())
    for sub in (folder.checkpoints, folder.metrics, folder.logs):
        sub.mkdir(parents=True, exist_ok=True)
    with exclusive(folder):
        remember_settings(folder, args.overrides)
        total = total_steps(args.overrides)
        if finished_step(folder) >= total:
            print(f"this run is finished ({total} steps in {folder.path}); RUN_DIR=... starts another")
        else:
            status, log = train(folder, args.overrides, total, args.min_agreement)
            if status != 0:
                explain_failure(status, log)
                return status if status > 0 else 128 - status
        return conclude(folder, args)


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
    """The end of verl's log, and as the last words the line that most likely names the cause."""
    lines = [_ESCAPES.sub("", line) for line in log.read_text(errors="replace").splitlines()]
    print("\n".join(lines[-30:]), file=sys.stderr)
    print(f"\nerror: verl ended with status {status}; full log: {log}", file=sys.stderr)
    cause = probable_cause(lines)
    if cause:
        print(f"error: {cause[:1000]}", file=sys.stderr)


def probable_cause(lines: list[str]) -> str | None:
    """The last message of ours in a log, or else of any exception; Ray's wrappers around it are passed over."""
    found = [match for line in lines if (match := _EXCEPTION.match(line)) and not match["name"].startswith("ray.")]
    ours = [match["message"] for match in found if match["name"].endswith("UserError")]
    if ours:
        return ours[-1]
    return f"{found[-1]['name']}: {found[-1]['message']}" if found else None


if __name__ == "__main__":
    exit_with_message(main)
