"""Monitor of one sandboxed process: collect its output, enforce time and output limits, wait until it is gone."""

import contextlib
import json
import os
import select
import signal
import subprocess
import time
from dataclasses import dataclass
from typing import Literal

from permix_verl.sandbox.limits import Limits

BrokenLimit = Literal["cpu_time", "wall_time", "output"]
"""The limit that a program exceeded."""
KEPT_STDERR = 4096
_CHUNK = 1 << 16
_GRACE_S = 20.0


class SandboxError(RuntimeError):
    """The sandbox failed, not the program: the run has no result."""


@dataclass(frozen=True, slots=True)
class Observation:
    """Outcome of a monitored process.

    Attributes:
        begun: whether the program itself started.
        broken: the limit that ended it, except CPU time, which the kernel enforces.
        status: exit status, 128 + N after signal N.
        wall_s: wall-clock time in seconds.
    """

    begun: bool
    broken: BrokenLimit | None
    status: int
    stdout: bytes
    stderr: str
    wall_s: float


class Monitor:
    """Monitor of one process.

    Args:
        begun: descriptor to which the driver writes when the program starts.
        info: descriptor to which bubblewrap writes the program's pid; ``None`` without isolation.
    """

    def __init__(self, process: "subprocess.Popen[bytes]", begun: int, info: int | None, limits: Limits) -> None:
        assert process.stdout is not None
        assert process.stderr is not None
        self._process = process
        self._begun_fd, self._info_fd = begun, info
        self._limits = limits
        self._started = time.monotonic()
        self._begun = False
        self._info = bytearray()
        self._program: int | None = None
        self._out = bytearray()
        self._err = bytearray()
        self._err_bytes = 0
        self._out_fd, self._err_fd = process.stdout.fileno(), process.stderr.fileno()

    def finish(self) -> Observation:
        """Wait until the process ends, or end it at a limit.

        Raises:
            SandboxError: a process survives being killed.
        """
        broken: BrokenLimit | None = None
        with contextlib.ExitStack() as cleanup:
            for pipe in (self._process.stdout, self._process.stderr):
                assert pipe is not None
                cleanup.enter_context(pipe)
            cleanup.callback(self._end_all)
            end = os.pidfd_open(self._process.pid)
            cleanup.callback(os.close, end)
            broken = self._until_end(end)
            ended = time.monotonic()
        code = self._process.returncode
        return Observation(
            begun=self._begun,
            broken=broken,
            status=128 - code if code < 0 else code,
            stdout=bytes(self._out),
            stderr=bytes(self._err).decode("utf-8", "replace"),
            wall_s=ended - self._started,
        )

    def _until_end(self, end: int) -> BrokenLimit | None:
        """Read until the process has ended; return the limit that it exceeded first."""
        poll = select.poll()
        for fd in (end, self._out_fd, self._err_fd, self._begun_fd, self._info_fd):
            if fd is not None:
                poll.register(fd, select.POLLIN)
        deadline = self._started + self._limits.wall_s
        while True:
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                return "wall_time"
            for fd, _ in poll.poll(remaining * 1000 + 1):
                if fd == end:
                    return None
                if not self._read(fd):
                    poll.unregister(fd)
            if len(self._out) > self._limits.output_bytes or self._err_bytes > self._limits.output_bytes:
                return "output"

    def _read(self, fd: int) -> bool:
        """Read what is available; return whether more can follow."""
        chunk = os.read(fd, _CHUNK)
        if fd == self._out_fd:
            self._out += chunk
        elif fd == self._err_fd:
            self._err_bytes += len(chunk)
            self._err += chunk
            del self._err[:-KEPT_STDERR]
        elif fd == self._begun_fd:
            self._begun = self._begun or bool(chunk)
        else:
            self._info += chunk
            if not chunk:
                self._find_program()
        return bool(chunk)

    def _find_program(self) -> None:
        """Open a descriptor of the program's process, because pids are reused."""
        with contextlib.suppress(ValueError, KeyError, ProcessLookupError):
            self._program = os.pidfd_open(int(json.loads(self._info)["child-pid"]))

    def _end_all(self) -> None:
        """End the processes that are alive, wait for them, and read the rest of the pipes.

        bubblewrap waits for the program's process, so killing that one ends both.
        """
        try:
            if self._info_fd is not None and self._program is None:
                # If killed before it reports its child's pid, bubblewrap could leave the child behind.
                self._read_all(self._info_fd, time.monotonic() + _GRACE_S)
            if self._program is not None:
                with contextlib.suppress(ProcessLookupError):
                    signal.pidfd_send_signal(self._program, signal.SIGKILL)
                self._process.wait(_GRACE_S)
        except subprocess.TimeoutExpired:
            raise SandboxError("a sandbox was killed and did not end") from None
        finally:
            if self._process.returncode is None or self._info_fd is None:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            if self._program is not None:
                os.close(self._program)
            self._drain()

    def _read_all(self, fd: int, deadline: float) -> None:
        """Read until the other end is closed."""
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        while poll.poll(max(0.0, deadline - time.monotonic()) * 1000) and self._read(fd):
            pass

    def _drain(self) -> None:
        """Read what an ended process left in its pipes."""
        for fd in (self._begun_fd, self._out_fd, self._err_fd):
            os.set_blocking(fd, False)
            with contextlib.suppress(BlockingIOError):
                while len(self._out) <= self._limits.output_bytes and self._read(fd):
                    pass
