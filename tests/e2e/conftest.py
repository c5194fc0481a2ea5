"""Recipes run as a user runs them, in folders of their own."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from permix_verl.training.metrics import Metrics, read_metrics

ROOT = Path(__file__).resolve().parents[2]


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


@pytest.fixture(scope="session")
def recipe() -> Recipe:
    """Run a recipe with this Python, echoing its output; ``stop_after`` sends it a signal at a line that matches."""

    def run(
        name: str,
        folder: Path,
        *overrides: str,
        stop_after: str | None = None,
        stop_with: signal.Signals = signal.SIGINT,  # what a terminal's Ctrl-C does
        **knobs: str,
    ) -> Run:
        environment = os.environ | {"PERMIX_SKIP_SETUP": "1", "PYTHON": sys.executable, "RUN_DIR": str(folder)} | knobs
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
        lines = []
        for line in process.stdout:
            sys.stdout.write(line)
            lines.append(line)
            if stop_after and re.search(stop_after, line):
                os.killpg(process.pid, stop_with)
                stop_after = None
        return Run(process.wait(), "".join(lines), folder)

    return run
