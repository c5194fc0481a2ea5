"""Processes of a run: finding and ending them, and the lock of a machine or cluster."""

import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import pytest

from permix_verl import UserError
from permix_verl.training.run_lock import GRPO_VARIABLE, hold_run_lock
from permix_verl.utils import processes
from permix_verl.utils.ray_cluster import nodes_alive


def test_two_runs_on_one_machine_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(processes, "find_processes", lambda *_, **__: [])  # hide other runs
    with hold_run_lock(), pytest.raises(UserError, match="another run is training"), hold_run_lock():
        pass
    monkeypatch.undo()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    environment = {GRPO_VARIABLE: processes.new_token(), "PATH": "/usr/bin:/bin"}
    orphan = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], env=environment)
    try:
        deadline = time.monotonic() + 10
        while not processes.find_processes(variable=GRPO_VARIABLE) and time.monotonic() < deadline:
            time.sleep(0.05)
        with pytest.raises(UserError, match="whose launcher was killed are still training"), hold_run_lock():
            pass
    finally:
        orphan.kill()
        orphan.wait()


def test_a_process_is_found_by_the_token_in_any_variable() -> None:
    """Ray's agents overwrite a part of their environment with their titles."""
    token = processes.new_token()
    environment = {GRPO_VARIABLE: token, "PATH": "/usr/bin:/bin"}
    left = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], env=environment)
    try:
        deadline = time.monotonic() + 10
        while not processes.find_processes(token) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert processes.end_processes(token) == 1
        assert not processes.find_processes(token)
    finally:
        left.kill()


def test_a_child_without_a_token_is_ended_with_its_parent() -> None:
    """Ray's agents may overwrite their whole environment with their titles."""
    token = processes.new_token()
    sleeper = (
        "import subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'], env={})\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(60)"
    )
    environment = {processes.TOKEN_VARIABLE: token, "PATH": "/usr/bin:/bin"}
    parent = subprocess.Popen([sys.executable, "-c", sleeper], env=environment, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = psutil.Process(int(parent.stdout.readline()))
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        assert processes.end_processes(token) == 2
        parent.wait(timeout=10)
        assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


def test_only_orphans_of_the_run_are_found_and_ended() -> None:
    token, other = processes.new_token(), processes.new_token()
    sleeper = (
        "import subprocess, sys, time\n"
        "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "time.sleep(60)"
    )

    def start(value: str) -> subprocess.Popen[bytes]:
        environment = {processes.TOKEN_VARIABLE: value, "PATH": "/usr/bin:/bin"}
        return subprocess.Popen([sys.executable, "-c", sleeper], env=environment, start_new_session=True)

    ours, theirs = start(token), start(other)
    try:
        deadline = time.monotonic() + 10
        while len(processes.find_processes(token)) < 2 and time.monotonic() < deadline:
            time.sleep(0.05)
        assert len(processes.find_processes(token)) == 2
        assert processes.end_processes(token) >= 2
        ours.wait(timeout=10)
        assert processes.find_processes(token) == []
        assert theirs.poll() is None
    finally:
        processes.end_processes(other)
        theirs.wait(timeout=10)


def test_an_unreachable_cluster_is_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
        monkeypatch.setenv("RAY_ADDRESS", address)
        with pytest.raises(UserError, match=f"cannot reach the Ray cluster RAY_ADDRESS={address}"):
            nodes_alive()
