"""Over one process from its start to its end: take what it writes, bound it, and be there until all of it is gone."""

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

Broken = Literal["cpu_time", "wall_time", "output"]
"""The limit that a program ran into."""
KEPT_STDERR = 4096
_CHUNK = 1 << 16
_GRACE_S = 20.0


class SandboxError(RuntimeError):
    """The sandbox failed, not the program: there is no verdict."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What was seen of a process.

    Attributes:
        begun: whether the program itself began.
        broken: the limit that ended it; not that of processor time, which the kernel keeps.
        status: exit status, 128 + N after signal N.
    """

    begun: bool
    broken: Broken | None
    status: int
    stdout: bytes
    stderr: str
    wall_s: float


class Watch:
    """Over one process.

    Args:
        begun: descriptor on which the driver says that the program begins.
        info: descriptor on which bubblewrap names the program's process; ``None`` without isolation.
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

    def finish(self) -> Seen:
        """Wait for the end, or bring it about.

        Raises:
            SandboxError: something of it outlives being killed.
        """
        broken: Broken | None = None
        with contextlib.ExitStack() as at_last:
            for pipe in (self._process.stdout, self._process.stderr):
                assert pipe is not None
                at_last.enter_context(pipe)
            at_last.callback(self._end_all)
            end = os.pidfd_open(self._process.pid)
            at_last.callback(os.close, end)
            broken = self._until_end(end)
            ended = time.monotonic()
        code = self._process.returncode
        return Seen(
            begun=self._begun,
            broken=broken,
            status=128 - code if code < 0 else code,
            stdout=bytes(self._out),
            stderr=bytes(self._err).decode("utf-8", "replace"),
            wall_s=ended - self._started,
        )

    def _until_end(self, end: int) -> Broken | None:
        """Read until the process has ended; the limit that it broke first."""
        poll = select.poll()
        for fd in (end, self._out_fd, self._err_fd, self._begun_fd, self._info_fd):
            if fd is not None:
                poll.register(fd, select.POLLIN)
        deadline = self._started + self._limits.wall_s
        while True:
            left = deadline - time.monotonic()
            if left <= 0:
                return "wall_time"
            for fd, _ in poll.poll(left * 1000 + 1):
                if fd == end:
                    return None
                if not self._read(fd):
                    poll.unregister(fd)
            if len(self._out) > self._limits.output_bytes or self._err_bytes > self._limits.output_bytes:
                return "output"

    def _read(self, fd: int) -> bool:
        """Take what is there; whether more can come."""
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
        """Hold on to the program's process, by a descriptor: numbers are given out anew."""
        with contextlib.suppress(ValueError, KeyError, ProcessLookupError):
            self._program = os.pidfd_open(int(json.loads(self._info)["child-pid"]))

    def _end_all(self) -> None:
        """End what still lives, wait until it is gone, and take what it left in the pipes.

        bubblewrap waits for the program's process, so that killing that one ends both.
        """
        try:
            if self._info_fd is not None and self._program is None:
                # Killed before it has named its child, bubblewrap could leave that behind.
                self._read_all(self._info_fd, time.monotonic() + _GRACE_S)
            if self._program is not None:
                with contextlib.suppress(ProcessLookupError):
                    signal.pidfd_send_signal(self._program, signal.SIGKILL)
                self._process.wait(_GRACE_S)
        except subprocess.TimeoutExpired:
            raise SandboxError("a sandbox was told to end and did not") from None
        finally:
            if self._process.returncode is None or self._info_fd is None:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            if self._program is not None:
                os.close(self._program)
            self._drain()

    def _read_all(self, fd: int, deadline: float) -> None:
        """Until the other end is closed."""
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        while poll.poll(max(0.0, deadline - time.monotonic()) * 1000) and self._read(fd):
            pass

    def _drain(self) -> None:
        """What an ended process left in its pipes."""
        for fd in (self._begun_fd, self._out_fd, self._err_fd):
            os.set_blocking(fd, False)
            with contextlib.suppress(BlockingIOError):
                while len(self._out) <= self._limits.output_bytes and self._read(fd):
                    pass
