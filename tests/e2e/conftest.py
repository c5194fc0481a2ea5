"""Recipes run as a user runs them, in folders of their own."""

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
    """A finished recipe: exit status, what it printed, its folder."""

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
    """Two lanes for ``-n 2``: the files that train by GRPO, one run at a time as everywhere, and beside them all else.

    A launch spends most of its time in imports, in one process after another, while the other core is idle.
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

    ``stop_after`` sends it a signal at a line that matches, ``stop_when`` as soon as that holds; ``meanwhile`` runs
    beside it, in a thread.
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
        environment |= {"DOCTOR": "0"} | knobs  # asked once, by the first command: test_permix_grpo.py
        process = subprocess.Popen(
            ["bash", str(ROOT / "recipes" / name), *overrides],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            env=environment,
            start_new_session=True,
            # As from a terminal: a suite that runs in the background has Ctrl-C ignored, and would hand that on.
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
    """The README's first command on fewer problems; also what a run looks like that nobody disturbs."""
    return recipe("run_permix_grpo.sh", tmp_path_factory.mktemp("permix") / "run", DOCTOR="1", **FIRST).check()


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The lab's base model, and some of its problems in a file."""
    data = tmp_path_factory.mktemp("lab") / "train.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in generate(128, "easy", "train")))
    return {"model": MODEL, "data": data}


def processes_of(folder: Path) -> list[psutil.Process]:
    """The live processes that the last launch of a run started."""
    token = folder / ".token"
    return find_processes(token.read_text()) if token.is_file() else []


def kill_everything(folder: Path) -> None:
    """SIGKILL to every process of a run at once, as a machine that goes down does."""
    for process in processes_of(folder):
        with contextlib.suppress(psutil.Error):
            process.kill()


def kill_by_name(folder: Path, needle: str) -> list[int]:
    """SIGKILL to the processes of a run whose command line or title holds the needle; their ids."""
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
    """(problem, persona) of each step and how often, read from verl's own rollout dumps."""
    personas = {persona.system_prompt: persona.key for persona in load_pool("train")}
    found = {}
    for file in (folder / "rollouts").glob("*.jsonl"):
        rows = [json.loads(line)["input"] for line in file.read_text().splitlines()]
        found[int(file.stem)] = Counter(
            (text, next(key for prompt, key in personas.items() if prompt in text)) for text in rows
        )
    return dict(sorted(found.items()))


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """An HTTP server on loopback that can be told to misbehave."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    made = Server()
    yield made
    made.close()
