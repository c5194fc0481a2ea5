"""The guard that ends an engine when the process that started it was killed."""

import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from permix_verl.inference.engines.orphan_guard import ENGINE_TOKEN, OrphanGuard

DRIVER = """
import multiprocessing, os, sys, time
from permix_verl.inference.engines.orphan_guard import OrphanGuard

def engine():
    time.sleep(60)

if __name__ == "__main__":
    method, moment = sys.argv[1:]
    context = multiprocessing.get_context(method)
    guard = OrphanGuard()
    with guard.covering():
        child = context.Process(target=engine)
        child.start()
        print(child.pid, flush=True)
        if moment == "starting":
            time.sleep(1)
            os._exit(1)
    os._exit(1)
"""


def gone(pid: int, limit_s: float = 10) -> bool:
    """Return whether a process ends within some seconds; kill it otherwise."""
    deadline = time.monotonic() + limit_s
    with contextlib.suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        while time.monotonic() < deadline:
            if not process.is_running() or process.status() == psutil.STATUS_ZOMBIE:
                return True
            time.sleep(0.05)
        process.kill()
        return False
    return True


@pytest.mark.parametrize(("method", "moment"), [("spawn", "starting"), ("spawn", "generating"), ("fork", "generating")])
def test_an_engine_does_not_outlive_the_process_that_started_it(method: str, moment: str, tmp_path: Path) -> None:
    driver = tmp_path / "driver.py"
    driver.write_text(DRIVER)
    # Not captured output: the engine, while it lives, would hold a pipe open.
    with (tmp_path / "out").open("w") as sink:
        subprocess.run([sys.executable, str(driver), method, moment], stdout=sink, stderr=sink, timeout=60)
    pid = int((tmp_path / "out").read_text().split()[0])
    assert gone(pid)


def test_without_a_guard_it_does(tmp_path: Path) -> None:
    driver = tmp_path / "driver.py"
    driver.write_text(DRIVER.replace("with guard.covering():", "guard.close()\n    if True:"))
    with (tmp_path / "out").open("w") as sink:
        subprocess.run([sys.executable, str(driver), "spawn", "generating"], stdout=sink, stderr=sink, timeout=60)
    assert not gone(int((tmp_path / "out").read_text().split()[0]), limit_s=1)


def test_it_ends_nothing_that_was_there_before_and_leaves_the_environment_as_it_was(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(ENGINE_TOKEN, "outer")
    with subprocess.Popen(["sleep", "60"]) as earlier:
        guard = OrphanGuard()
        with guard.covering():
            assert os.environ[ENGINE_TOKEN] not in ("outer", "")
            mine = subprocess.Popen(["sleep", "60"])
        assert os.environ[ENGINE_TOKEN] == "outer"
        guard.close()
        assert mine.wait(10) != 0
        assert earlier.poll() is None
        earlier.kill()


def test_a_guard_that_is_gone_is_no_error() -> None:
    guard = OrphanGuard()
    guard._process.kill()
    guard._process.wait()
    with guard.covering():
        pass
    guard.close()
