"""math-verify without the reward file, in worker processes that can be killed."""

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from permix_verl.audit.cases import CheckResult

WALL_LIMIT_S = 40.0
"""Wall-clock seconds for one output; math-verify's own limits are 5 s a parse and 5 s a comparison."""
START_LIMIT_S = 120.0
_WORKER = Path(__file__).with_name("math_verify_worker.py")


class MathVerifyPool:
    """Pool of processes that run math-verify's ``parse`` and ``verify`` with their defaults; the gold is boxed.

    Args:
        workers: processes, started on first use (default: one a CPU, at most 4).
    """

    def __init__(self, workers: int | None = None) -> None:
        self._threads = ThreadPoolExecutor(workers or min(4, os.cpu_count() or 1), "math_verify", _block_sigint)
        self._local = threading.local()
        self._lock = threading.Lock()
        self._processes: set[subprocess.Popen[bytes]] = set()
        self._closed = False

    def submit(self, output: str, gold: str) -> "Future[CheckResult]":
        """Check one output: "error" if the worker dies, "timeout" if it hangs."""
        return self._threads.submit(self._check, output, gold)

    def close(self) -> None:
        """Kill the workers at once and cancel pending checks."""
        with self._lock:
            self._closed = True
            for process in self._processes:
                process.kill()
        self._threads.shutdown(cancel_futures=True)

    def _check(self, output: str, gold: str) -> CheckResult:
        process = getattr(self._local, "process", None)
        if process is None:
            process = self._start()
        assert process.stdin is not None
        try:
            process.stdin.write(json.dumps({"output": output, "gold": gold}).encode() + b"\n")
            process.stdin.flush()
            line = _read_line(process, WALL_LIMIT_S)
        except BrokenPipeError:
            line = b""
        if not line:
            self._stop(process)
            return CheckResult("timeout" if line is None else "error", "")
        reply = json.loads(line)
        if reply["last"]:
            self._stop(process)
        return CheckResult(reply["status"], reply["pred"])

    def _start(self) -> "subprocess.Popen[bytes]":
        with self._lock:
            if self._closed:
                raise RuntimeError("the pool is closed")
            process = subprocess.Popen(
                [sys.executable, str(_WORKER)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env={**os.environ, "PYTHONSAFEPATH": "1"},  # modules of this folder must not shadow others
            )
            self._processes.add(process)
        if not _read_line(process, START_LIMIT_S):
            self._stop(process)
            raise RuntimeError(f"math-verify did not start within {START_LIMIT_S:.0f} s; is it installed?")
        self._local.process = process
        return process

    def _stop(self, process: "subprocess.Popen[bytes]") -> None:
        self._local.process = None
        with self._lock:
            self._processes.discard(process)
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):  # unread input
                    pipe.close()


def _block_sigint() -> None:
    """Block SIGINT in this thread and in the processes it starts: only the main thread handles Ctrl-C."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})


def _read_line(process: "subprocess.Popen[bytes]", limit_s: float) -> bytes | None:
    """Read one line of a worker's output: empty if it ended, ``None`` on timeout."""
    assert process.stdout is not None
    poll = select.poll()
    poll.register(process.stdout, select.POLLIN)
    return process.stdout.readline() if poll.poll(limit_s * 1000) else None
