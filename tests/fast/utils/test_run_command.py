"""Commands that a verb runs: their exit status, and Ctrl-C, which is theirs to answer."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from permix_verl.utils.commands import run_command


@pytest.mark.parametrize(
    ("program", "status"),
    [("raise SystemExit(3)", 3), ("pass", 0), ("import os, signal; os.kill(os.getpid(), signal.SIGTERM)", 143)],
)
def test_the_status_is_the_commands_or_its_signals(program: str, status: int) -> None:
    assert run_command([sys.executable, "-c", program]) == status


def test_the_environment_is_the_commands() -> None:
    program = "import os; raise SystemExit(int(os.environ['STATUS']) if 'HOME' not in os.environ else 9)"
    assert run_command([sys.executable, "-c", program], {"STATUS": "4"}) == 4


CHILD = """
import pathlib, sys, time
try:
    pathlib.Path("started").touch()
    time.sleep(60)
except KeyboardInterrupt:
    time.sleep(1.5)  # as a training that ends its processes
    pathlib.Path("cleaned").touch()
    sys.exit(130)
"""
PARENT = f"""
import subprocess, sys
from permix_verl.utils.commands import run_command
sys.exit(CALL([sys.executable, "-c", {CHILD!r}]))
"""


@pytest.mark.parametrize(
    ("call", "cleaned"),
    [("run_command", True), ("(lambda command: subprocess.run(command).returncode)", False)],
    ids=["run_command", "negative control"],
)
def test_an_interrupted_command_cleans_up_before_the_verb_ends(tmp_path: Path, call: str, cleaned: bool) -> None:
    program = PARENT.replace("CALL", call)
    parent = subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        start_new_session=True,
        stderr=subprocess.DEVNULL,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    deadline = time.monotonic() + 30
    while not (tmp_path / "started").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.killpg(parent.pid, signal.SIGINT)  # as a terminal does
    status = parent.wait(timeout=30)
    assert (tmp_path / "cleaned").exists() == cleaned
    assert status == (130 if cleaned else -signal.SIGINT)
