"""verl's trainer as a process of its own: started, shown, watched, and ended with all that it has started."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from permix_verl.explain.choosing import explain
from permix_verl.runs.actor_resources import actor_resources
from permix_verl.runs.folder import RunFolder
from permix_verl.runs.overrides import as_dict, quoted
from permix_verl.runs.trainers import GRPO, SFT
from permix_verl.training.failure import probable_cause
from permix_verl.training.guards.watchdog import STALL_S, leave_cause
from permix_verl.training.launch_watch import LaunchWatch
from permix_verl.training.process_activity import ProcessActivity, read_processes
from permix_verl.training.progress import Progress
from permix_verl.training.run_lock import GRPO_VARIABLE
from permix_verl.utils import processes
from permix_verl.utils.files import write_atomic

FORWARDED = re.compile(r"VERL_|VLLM_|HF_HUB_OFFLINE$|HF_HOME$")
"""Environment variables that the workers of a Ray cluster need too."""
STALL_KEY = "trainer.v1.sampler.sampler_kwargs.stall_seconds"


def train(folder: RunFolder, overrides: list[str], done: int, total: int, min_agreement: float) -> tuple[int, Path]:
    """Run verl from step ``done`` to its end; return its exit status, 1 if it had to be ended, and its log.

    Ends every process that it started, however it ends.
    """
    stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime())
    log = folder.logs / f"{stamp}.log"
    token = processes.new_token()
    write_atomic(folder.token, token)
    variables = {
        processes.TOKEN_VARIABLE: token,
        "VERL_FILE_LOGGER_PATH": str(folder.metrics / f"{stamp}.jsonl"),
    }
    if folder.trainer is GRPO:
        variables[GRPO_VARIABLE] = token
    settings = as_dict(overrides)
    # Workers of a Ray cluster that was there before do not inherit our environment.
    ours = {name: value for name, value in os.environ.items() if FORWARDED.match(name)} | variables
    forwarded = [f"+ray_kwargs.ray_init.runtime_env.env_vars.{name}={quoted(value)}" for name, value in ours.items()]
    environment = os.environ | variables | {"PYTHONUNBUFFERED": "1"}
    command = [*folder.trainer.command(settings), *overrides]
    command += [] if folder.trainer.torchrun else forwarded
    progress = Progress(folder, log, total, min_agreement, supervised=folder.trainer is SFT)
    progress.begin(done)
    watch = LaunchWatch(
        log,
        folder.metrics,
        ProcessActivity(lambda: read_processes(token)),
        stall_s=float(settings.get(STALL_KEY, STALL_S)),
        remedy="" if folder.trainer is SFT else _room_for(actor_resources(settings)["CPU"]),
        explain=_cause_in,
    )
    cause = None
    with log.open("wb") as sink:
        # In a session of its own: an interrupt reaches it once, from here, not also from the terminal.
        trainer = subprocess.Popen(
            command, stdout=sink, stderr=subprocess.STDOUT, env=environment, start_new_session=True
        )
        with _interrupted_by(signal.SIGTERM, signal.SIGHUP) as ignore_further:
            try:
                while trainer.poll() is None:
                    progress.update(watch.stage)
                    found = watch.look()
                    if found and trainer.poll() is None:
                        cause = found
                        leave_cause(folder.path, cause)
                        print(f"\nending verl: {cause[:1000]}", file=sys.stderr, flush=True)
                        sink.write(f"\nerror: {cause[:1000]}\n".encode())  # what follows in the log is its end
                        sink.flush()
                        break
                    time.sleep(1)
            except KeyboardInterrupt:
                ignore_further()
                print("\nstopping verl; the same command goes on from the last checkpoint", file=sys.stderr)
                trainer.send_signal(signal.SIGINT)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    trainer.wait(timeout=60)
                raise
            finally:
                ignore_further()
                processes.end_processes(token)
                trainer.wait()
    progress.end()
    return 1 if cause else trainer.returncode, log


def _cause_in(log: Path) -> str | None:
    return probable_cause(explain(log.read_bytes().decode(errors="replace").split("\n")))


def _room_for(cpus: int) -> str:
    """What a launch that lacks places is told."""
    if os.environ.get("RAY_ADDRESS"):
        return f"verl's actors take {cpus} CPUs: ray start --num-cpus {cpus} or more (they are logical), or add nodes"
    return f"verl's actors take {cpus} CPUs: set ray_kwargs.ray_init.num_cpus to {cpus} or more (they are logical)"


@contextlib.contextmanager
def _interrupted_by(*signals: signal.Signals) -> Iterator[Callable[[], None]]:
    """Let the signals interrupt as Ctrl-C does; gives a function that makes them, and Ctrl-C, wait for the clean-up."""

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    # What is ignored stays ignored: that is how nohup asks to outlive a terminal.
    heeded = [number for number in signals if signal.getsignal(number) != signal.SIG_IGN]
    before: dict[signal.Signals, Any] = {number: signal.signal(number, interrupt) for number in heeded}
    before[signal.SIGINT] = signal.getsignal(signal.SIGINT)

    def ignore_further() -> None:
        for number in before:
            signal.signal(number, signal.SIG_IGN)

    try:
        yield ignore_further
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
