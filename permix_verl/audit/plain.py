"""math-verify without the reward file around it, in worker processes that can be ended."""

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

from permix_verl.audit.verdicts import Verdict

WALL_LIMIT_S = 40.0
"""Seconds by the clock for one output; math-verify's own limits are 5 s a parse and 5 s a comparison."""
START_LIMIT_S = 120.0
_WORKER = Path(__file__).with_name("plain_worker.py")


class PlainMathVerify:
    """``parse`` and ``verify`` by their defaults, a few outputs at a time; the gold stands in a box.

    Args:
        workers: processes; they start when they are first needed.
    """

    def __init__(self, workers: int | None = None) -> None:
        self._threads = ThreadPoolExecutor(workers or min(4, os.cpu_count() or 1), "math_verify", _leave_interrupts)
        self._mine = threading.local()
        self._lock = threading.Lock()
        self._processes: set[subprocess.Popen[bytes]] = set()
        self._closed = False

    def submit(self, output: str, gold: str) -> "Future[Verdict]":
        """Judge one output; a worker that dies over it is an "error", one that hangs a "timeout"."""
        return self._threads.submit(self._ask, output, gold)

    def close(self) -> None:
        """End the workers at once; what is waited for is dropped."""
        with self._lock:
            self._closed = True
            for process in self._processes:
                process.kill()
        self._threads.shutdown(cancel_futures=True)

    def _ask(self, output: str, gold: str) -> Verdict:
        process = getattr(self._mine, "process", None)
        if process is None:
            process = self._start()
        assert process.stdin is not None
        try:
            process.stdin.write(json.dumps({"output": output, "gold": gold}).encode() + b"\n")
            process.stdin.flush()
            line = _line(process, WALL_LIMIT_S)
        except BrokenPipeError:
            line = b""
        if not line:
            self._end(process)
            return Verdict("timeout" if line is None else "error", "")
        reply = json.loads(line)
        if reply["last"]:
            self._end(process)
        return Verdict(reply["status"], reply["pred"])

    def _start(self) -> "subprocess.Popen[bytes]":
        with self._lock:
            if self._closed:
                raise RuntimeError("closed")
            process = subprocess.Popen(
                [sys.executable, str(_WORKER)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env={**os.environ, "PYTHONSAFEPATH": "1"},  # files beside it must not shadow modules
            )
            self._processes.add(process)
        if not _line(process, START_LIMIT_S):
            self._end(process)
            raise RuntimeError(f"math-verify did not start within {START_LIMIT_S:.0f} s; is it installed?")
        self._mine.process = process
        return process

    def _end(self, process: "subprocess.Popen[bytes]") -> None:
        self._mine.process = None
        with self._lock:
            self._processes.discard(process)
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):  # what it did not take
                    pipe.close()


def _leave_interrupts() -> None:
    """Ctrl-C is for the main thread; a process that this thread starts inherits that, from its first moment on."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})


def _line(process: "subprocess.Popen[bytes]", limit_s: float) -> bytes | None:
    """A line of its output; empty if it ended, ``None`` if none came in time."""
    assert process.stdout is not None
    poll = select.poll()
    poll.register(process.stdout, select.POLLIN)
    return process.stdout.readline() if poll.poll(limit_s * 1000) else None
