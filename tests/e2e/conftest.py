"""Fixtures that run recipes as a user does, each in its own folder."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from permix_verl import load_pool
from permix_verl.lab.base_model import MODEL
from permix_verl.lab.problems import generate
from permix_verl.runs.metrics import Metrics, read_metrics
from permix_verl.utils.processes import find_processes

from ..support.endpoint import Server

ROOT = Path(__file__).resolve().parents[2]

SHORT = {"LAB_PROBLEMS": "128", "SAVE_FREQ": "2"}
"""The lab's recipe in 7 steps of 16 problems."""


@dataclass(frozen=True)
class Run:
    """A finished recipe: exit status, output and run folder."""

    status: int
    output: str
    folder: Path

    @property
    def metrics(self) -> Metrics:
        return read_metrics(self.folder / "metrics")

    def check(self) -> "Run":
        assert self.status == 0, self.output[-4000:]
        return self


Recipe = Callable[..., Run]

SAMPLES = 8
FIRST = {"LAB_PROBLEMS": "120", "EPOCHS": "2"}
"""The first command on 112 rows, twice, in 14 steps of 16 problems; the lab's own are 36."""
STEPS = 14


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Assign tests to two lanes for ``-n 2``: GRPO runs, of which only one may run at a time, and everything else.

    A launch spends most of its time in imports, one process after another, and leaves the other core idle.
    """
    from xdist.scheduler import LoadScopeScheduling

    class Lanes(LoadScopeScheduling):  # type: ignore[misc,unused-ignore]
        def _split_scope(self, nodeid: str) -> str:
            text = (ROOT / nodeid.partition("::")[0]).read_text()
            return "grpo" if "recipe: Recipe" in text and "_sft.sh" not in text else "other"

    return Lanes(config, log)


@pytest.fixture(scope="session")
def recipe() -> Recipe:
    """Run a recipe with this Python, echoing its output.

    ``stop_after`` sends a signal at the first matching line, ``stop_when`` as soon as the condition holds;
    ``meanwhile`` runs concurrently, in a thread.
    """

    def run(
        name: str,
        folder: Path,
        *overrides: str,
        stop_after: str | None = None,
        stop_when: Callable[[], bool] | None = None,
        stop_with: signal.Signals = signal.SIGINT,  # what a terminal's Ctrl-C does
        meanwhile: Callable[[], None] | None = None,
        **knobs: str,
    ) -> Run:
        environment = os.environ | {"PERMIX_SKIP_SETUP": "1", "PYTHON": sys.executable, "RUN_DIR": str(folder)}
        environment |= {"DOCTOR": "0"} | knobs  # the doctor runs once, in test_permix_grpo.py
        process = subprocess.Popen(
            ["bash", str(ROOT / "recipes" / name), *overrides],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            env=environment,
            start_new_session=True,
            # A suite in the background ignores Ctrl-C and would pass that on; a terminal does not.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        assert process.stdout is not None
        if meanwhile:
            threading.Thread(target=meanwhile, daemon=True).start()
        if stop_when:
            threading.Thread(target=stop, args=(process.pid, stop_with, stop_when), daemon=True).start()
        lines = []
        for line in process.stdout:
            sys.stdout.write(line)
            lines.append(line)
            if stop_after and re.search(stop_after, line):
                os.killpg(process.pid, stop_with)
                stop_after = None
        return Run(process.wait(), "".join(lines), folder)

    return run


def stop(group: int, stop_with: signal.Signals, when: Callable[[], bool]) -> None:
    wait_for(when)
    os.killpg(group, stop_with)


@pytest.fixture(scope="session")
def first_run(recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The README's first command on fewer problems, which also serves as the undisturbed reference run."""
    return recipe("run_permix_grpo.sh", tmp_path_factory.mktemp("permix") / "run", DOCTOR="1", **FIRST).check()


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The lab's base model, and a file with some of the lab's problems."""
    data = tmp_path_factory.mktemp("lab") / "train.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in generate(128, "easy", "train")))
    return {"model": MODEL, "data": data}


def processes_of(folder: Path) -> list[psutil.Process]:
    """Return the live processes of a run's last launch."""
    token = folder / ".token"
    return find_processes(token.read_text()) if token.is_file() else []


def kill_everything(folder: Path) -> None:
    """Send SIGKILL to every process of a run at once, as if the machine went down."""
    for process in processes_of(folder):
        with contextlib.suppress(psutil.Error):
            process.kill()


def kill_by_name(folder: Path, needle: str) -> list[int]:
    """Send SIGKILL to the processes of a run whose command line or title contains the needle; return their ids."""
    killed = []
    for process in processes_of(folder):
        with contextlib.suppress(psutil.Error):
            if needle in " ".join(process.cmdline()) or needle in process.name():
                process.kill()
                killed.append(process.pid)
    return killed


def wait_for(what: Callable[[], bool], limit_s: float = 1200) -> None:
    deadline = time.monotonic() + limit_s
    while not what():
        assert time.monotonic() < deadline, "what the test waits for did not happen"
        time.sleep(0.1)


def dumped(folder: Path) -> dict[int, Counter[tuple[str, str]]]:
    """Count the (problem, persona) pairs of each step in verl's rollout dumps."""
    personas = {persona.system_prompt: persona.key for persona in load_pool("train")}
    counts = {}
    for file in (folder / "rollouts").glob("*.jsonl"):
        rows = [json.loads(line)["input"] for line in file.read_text().splitlines()]
        counts[int(file.stem)] = Counter(
            (text, next(key for prompt, key in personas.items() if prompt in text)) for text in rows
        )
    return dict(sorted(counts.items()))


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """An HTTP server on loopback with programmable failures."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    made = Server()
    yield made
    made.close()
