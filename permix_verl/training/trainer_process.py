"""verl's trainer as a child process: start it, show its progress, watch it, and end all its processes."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from omegaconf import OmegaConf

from permix_verl.config.compose import RunConfig
from permix_verl.config.quoting import quote_value
from permix_verl.explain.choosing import explain
from permix_verl.runs.actor_resources import actor_resources
from permix_verl.runs.folder import RunFolder
from permix_verl.runs.trainers import GRPO, SFT
from permix_verl.training.failure import probable_cause
from permix_verl.training.guards.watchdog import STALL_S, write_cause
from permix_verl.training.key_reads.check import UnreadKeyCheck
from permix_verl.training.key_reads.recorder import FOLDER_VARIABLE
from permix_verl.training.launch_watch import LaunchWatch
from permix_verl.training.process_activity import ProcessActivity, read_processes
from permix_verl.training.progress import Progress
from permix_verl.training.run_lock import GRPO_VARIABLE
from permix_verl.training.trackers.credentials import is_secret, public_environment, secret_environment
from permix_verl.training.trackers.environment import tracker_environment
from permix_verl.utils import processes
from permix_verl.utils.files import write_atomic

FORWARDED_VARIABLES = re.compile(r"VERL_|VLLM_|HF_HUB_OFFLINE$|HF_HOME$|MATH_REWARD_WORKERS$")
"""Environment variables to forward to the workers of a Ray cluster."""
STALL_KEY = "trainer.v1.sampler.sampler_kwargs.stall_seconds"


def train(folder: RunFolder, config: RunConfig, done: int, total: int, min_agreement: float) -> tuple[int, Path]:
    """Run verl from step ``done`` on, and end every process of the run afterwards.

    Returns:
        verl's exit status, or 1 if the launch watch ended verl; and verl's log file.
    """
    stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime())
    log = folder.logs / f"{stamp}.log"
    token = processes.new_token()
    write_atomic(folder.token, token)
    variables = _run_variables(folder, token, stamp) | tracker_environment(config, folder)
    write_atomic(folder.config, OmegaConf.to_yaml(config.node))
    command = [*folder.trainer.command(config), *_hydra_arguments(folder)]
    command += [] if folder.trainer.torchrun else _forward_to_ray(variables)
    progress = Progress(folder, log, total, min_agreement, supervised=folder.trainer is SFT)
    progress.begin(done)
    watch = LaunchWatch(
        log,
        folder.metrics,
        ProcessActivity(lambda: read_processes(token)),
        stall_s=float(config.get(STALL_KEY, STALL_S)),
        remedy="" if folder.trainer is SFT else _cpu_remedy(actor_resources(config)["CPU"]),
        explain=_explain_log,
    )
    unread = UnreadKeyCheck(config, folder, stamp)
    with log.open("wb") as sink:
        # In its own session, so that Ctrl-C reaches verl once, from here, and not also from the terminal.
        trainer = subprocess.Popen(
            command,
            stdout=sink,
            stderr=subprocess.STDOUT,
            env=os.environ | secret_environment() | variables | {"PYTHONUNBUFFERED": "1"},
            start_new_session=True,
        )
        cause = _supervise(trainer, token, progress, watch, unread, folder, sink)
    progress.end()
    unread.finish()
    return 1 if cause else trainer.returncode, log


def _run_variables(folder: RunFolder, token: str, stamp: str) -> dict[str, str]:
    variables = {
        processes.TOKEN_VARIABLE: token,
        "VERL_FILE_LOGGER_PATH": str(folder.metrics / f"{stamp}.jsonl"),
        FOLDER_VARIABLE: str(folder.key_reads / stamp),
    }
    if folder.trainer is GRPO:
        variables[GRPO_VARIABLE] = token
    return variables


def _hydra_arguments(folder: RunFolder) -> list[str]:
    """Return the arguments with which verl's entry point reads the composed configuration."""
    config = folder.config
    output = f"hydra.run.dir={quote_value(str(folder.path / 'hydra'))}"
    return ["--config-path", str(config.parent), "--config-name", config.stem, output]


def _forward_to_ray(variables: dict[str, str]) -> list[str]:
    """Return overrides that forward environment variables: workers of an existing Ray cluster do not inherit ours."""
    ours = {name: value for name, value in os.environ.items() if FORWARDED_VARIABLES.match(name)}
    ours |= public_environment() | {name: value for name, value in variables.items() if not is_secret(name, value)}
    return [f"+ray_kwargs.ray_init.runtime_env.env_vars.{name}={quote_value(value)}" for name, value in ours.items()]


def _supervise(
    trainer: "subprocess.Popen[bytes]",
    token: str,
    progress: Progress,
    watch: LaunchWatch,
    unread: UnreadKeyCheck,
    folder: RunFolder,
    sink: BinaryIO,
) -> str | None:
    """Show progress until verl ends or the watch ends it; return the watch's reason. No process of the run survives."""
    with _interrupt_on(signal.SIGTERM, signal.SIGHUP) as ignore_further:
        try:
            while trainer.poll() is None:
                progress.update(watch.stage)
                unread.update(progress.new_steps)
                cause = watch.check()
                if cause and trainer.poll() is None:
                    write_cause(folder.path, cause)
                    print(f"\nending verl: {cause[:1000]}", file=sys.stderr, flush=True)
                    sink.write(f"\nerror: {cause[:1000]}\n".encode())  # before the lines of verl's shutdown
                    sink.flush()
                    return cause
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
    return None


def _explain_log(log: Path) -> str | None:
    return probable_cause(explain(log.read_bytes().decode(errors="replace").split("\n")))


def _cpu_remedy(cpus: int) -> str:
    """Return the advice for a run whose actors cannot be placed."""
    if os.environ.get("RAY_ADDRESS"):
        return f"verl's actors take {cpus} CPUs: ray start --num-cpus {cpus} or more (they are logical), or add nodes"
    return f"verl's actors take {cpus} CPUs: set ray_kwargs.ray_init.num_cpus to {cpus} or more (they are logical)"


@contextlib.contextmanager
def _interrupt_on(*signals: signal.Signals) -> Iterator[Callable[[], None]]:
    """Raise KeyboardInterrupt on the signals; yield a function that ignores them and Ctrl-C during the clean-up."""

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    # An ignored signal stays ignored: nohup relies on it.
    handled = [number for number in signals if signal.getsignal(number) != signal.SIG_IGN]
    before: dict[signal.Signals, Any] = {number: signal.signal(number, interrupt) for number in handled}
    before[signal.SIGINT] = signal.getsignal(signal.SIGINT)

    def ignore_further() -> None:
        for number in before:
            signal.signal(number, signal.SIG_IGN)

    try:
        yield ignore_further
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
