"""Run one program on one input: feed it, bound it, take what it wrote, and leave nothing of it behind."""

import contextlib
import fcntl
import itertools
import marshal
import os
import resource
import select
import signal
import subprocess
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from permix_verl.errors import UserError
from permix_verl.sandbox import isolation
from permix_verl.sandbox.prelude import MODULES, stars
from permix_verl.sandbox.syscalls import filter_program

Ended = Literal["exited", "failed", "cpu_time", "wall_time", "output"]
KEPT_STDERR = 4096
_CHUNK = 1 << 16
_SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
_GRACE_S = 10.0


class SandboxError(RuntimeError):
    """The sandbox failed, not the program: there is no verdict."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Of one run.

    Attributes:
        cpu_s: seconds of processor time, whole ones.
        wall_s: seconds from start to end.
        memory_mb: address space, in MiB.
        output_bytes: of what is written to standard output, and as much to standard error.
        file_mb: of one file, in MiB; the files of a run together have 64.
        threads: at a time.
    """

    cpu_s: int = 6
    wall_s: float = 20.0
    memory_mb: int = 1024
    output_bytes: int = 16 << 20
    file_mb: int = 16
    threads: int = 64

    def of_process(self) -> dict[str, tuple[int, int]]:
        """Soft and hard limits of the process, by their names in ``resource``."""
        memory, file = self.memory_mb << 20, self.file_mb << 20
        return {
            "RLIMIT_CPU": (self.cpu_s, self.cpu_s),  # no signal that can be caught
            "RLIMIT_AS": (memory, memory),
            "RLIMIT_FSIZE": (file, file),
            "RLIMIT_NPROC": (self.threads, self.threads),
            "RLIMIT_NOFILE": (64, 64),
            "RLIMIT_CORE": (0, 0),
            "RLIMIT_MEMLOCK": (0, 0),
            # Deep recursion through functions of the standard library needs more than the usual 8 MiB.
            "RLIMIT_STACK": (64 << 20, resource.RLIM_INFINITY),
        }


@dataclass(frozen=True, slots=True)
class Finished:
    """How a run ended.

    Attributes:
        ended: "exited"; "failed" (an exception, a signal); or the limit it ran into.
        exit_status: 128 + N after signal N.
        stdout: all that it wrote, up to the limit.
        stderr: the end of it, as text.
        wall_s: used.
    """

    ended: Ended
    exit_status: int
    stdout: bytes
    stderr: str
    wall_s: float


@dataclass
class Sandbox:
    """Where programs run. Threads may share one.

    Args:
        sandbox: ``"on"``, or :data:`~permix_verl.sandbox.isolation.OFF`, under which limits hold and nothing else does.

    Raises:
        SandboxUnavailableError: this machine cannot isolate a program.
        UserError: another ``sandbox``.
    """

    sandbox: str = "on"
    _bwrap: str | None = field(init=False, default=None)
    _counter: Any = field(init=False, default_factory=itertools.count)

    def __post_init__(self) -> None:
        if self.sandbox not in ("on", isolation.OFF):
            raise UserError(f"sandbox={self.sandbox!r} is neither 'on' nor {isolation.OFF!r}; set one of them")
        if self.sandbox == "on":
            self._bwrap = isolation.find_bwrap()
            _prove(self)

    def run(self, program: str, stdin: str, limits: Limits | None = None, call: str | None = None) -> Finished:
        """Run a program once.

        Args:
            program: Python source; it sees what LiveCodeBench imports for it.
            stdin: its standard input; with ``call`` the arguments, a JSON value a line.
            call: a function of the program, or method of its ``Solution``; ``stdout`` then is
                what it returned, as JSON, and nothing that it printed.

        Raises:
            SandboxError: the sandbox failed.
        """
        limits = limits or Limits()
        user = isolation.nobody(next(self._counter)) if self._bwrap else None
        settings = {
            "limits": limits.of_process(),
            "user": user,
            "call": call,
            "stars": stars(),
            "modules": MODULES,
            "path": ["/packages"] if self._bwrap else sorted({str(path.parent) for path in isolation.package_paths()}),
        }
        with contextlib.ExitStack() as opened:
            given = _sealed(opened, marshal.dumps(settings) + program.encode("utf-8", "replace"))
            input_bytes = stdin.encode("utf-8", "replace")
            fed = _sealed(opened, input_bytes)
            life, life_end = os.pipe()
            opened.callback(os.close, life)
            # bubblewrap keeps the one end to itself; the driver says through the other that it begins.
            begun = os.dup(life_end)
            arguments = [str(given), str(begun)]
            passed = [given, begun, life_end]
            if self._bwrap:
                seccomp = _sealed(opened, filter_program())
                passed.append(seccomp)
                # By that name it is a file of its own; who asks for it is rare, and it costs a mount.
                named = _sealed(opened, input_bytes) if "/dev/stdin" in program else None
                passed += [named] if named is not None else []
                command = isolation.command(
                    self._bwrap, user=user, seccomp=seccomp, life=life_end, stdin=named, arguments=arguments
                )
            else:
                command = isolation.bare_command(arguments)
            try:
                process = subprocess.Popen(
                    command,
                    stdin=fed,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    env=_ENVIRONMENT,
                    cwd="/",
                    pass_fds=passed,
                    start_new_session=True,
                )
            except OSError as error:
                raise SandboxError(f"cannot start {command[0]}: {error}") from None
            finally:
                os.close(life_end)
                os.close(begun)
            return _Watch(process, life, limits, isolated=self._bwrap is not None).finish()


_ENVIRONMENT: Mapping[str, str] = {
    "PATH": "/usr/bin:/bin",
    "HOME": "/tmp",
    "LANG": "C.UTF-8",
    "PYTHONHASHSEED": "0",  # as the order of a set, part of what a program prints; and -I leaves it out
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
}


def _sealed(opened: contextlib.ExitStack, content: bytes) -> int:
    """A descriptor that reads this content, which nobody can change, from its beginning."""
    fd = os.memfd_create("permix", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    opened.callback(os.close, fd)
    with os.fdopen(os.dup(fd), "wb") as stream:
        stream.write(content)
    os.lseek(fd, 0, os.SEEK_SET)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _SEALS)
    return fd


class _Watch:
    """Over one process, from its start to its end."""

    def __init__(self, process: "subprocess.Popen[bytes]", life: int, limits: Limits, *, isolated: bool) -> None:
        assert process.stdout is not None
        assert process.stderr is not None
        self._process = process
        self._life = life
        self._limits = limits
        self._isolated = isolated
        self._started = time.monotonic()
        self._begun = False
        self._out = bytearray()
        self._err = bytearray()
        self._err_bytes = 0
        self._out_fd, self._err_fd = process.stdout.fileno(), process.stderr.fileno()

    def finish(self) -> Finished:
        broken: Ended | None = None
        end = os.pidfd_open(self._process.pid)
        try:
            broken = self._until_end(end)
        finally:
            os.close(end)
            self._end_all()
            for pipe in (self._process.stdout, self._process.stderr):
                if pipe:
                    pipe.close()
        wall_s = time.monotonic() - self._started
        stderr = bytes(self._err).decode("utf-8", "replace")
        code = self._process.returncode
        status = 128 - code if code < 0 else code
        if not self._begun and broken is None:
            said = stderr.strip()[-500:] or "no message"
            raise SandboxError(f"the sandbox ended before the program began, with status {status}: {said}")
        if broken is None and status == 128 + signal.SIGKILL and wall_s >= self._limits.cpu_s:
            broken = "cpu_time"
        return Finished(broken or ("failed" if status else "exited"), status, bytes(self._out), stderr, wall_s)

    def _until_end(self, end: int) -> Ended | None:
        """Read until the process has ended; the limit that it broke first."""
        poll = select.poll()
        for fd in (end, self._out_fd, self._err_fd, self._life):
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
        else:
            self._begun = self._begun or bool(chunk)
        return bool(chunk)

    def _drain(self) -> None:
        """What an ended process left in its pipes."""
        for fd in (self._life, self._out_fd, self._err_fd):
            os.set_blocking(fd, False)
            with contextlib.suppress(BlockingIOError):
                while len(self._out) <= self._limits.output_bytes and self._read(fd):
                    pass

    def _end_all(self) -> None:
        """End what still lives, wait until it is gone, and take what it left in the pipes.

        In isolation all end with the first process of their namespace, and that one with its parent; it holds the
        other end of a pipe.
        """
        with contextlib.suppress(ProcessLookupError, PermissionError):
            # Not reaped yet, so that its number is still its own.
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        if self._isolated:
            poll = select.poll()
            poll.register(self._life, select.POLLIN)
            deadline = time.monotonic() + _GRACE_S
            while self._read_life(poll, deadline):
                pass
        self._drain()

    def _read_life(self, poll: "select.poll", deadline: float) -> bool:
        if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
            raise SandboxError("a sandbox was told to end and did not")
        return self._read(self._life)


_proof = threading.Lock()
_proven: set[str] = set()


def _prove(sandbox: Sandbox) -> None:
    """Once a process: see that the isolation is there, by a program that tries to get out.

    Raises:
        SandboxUnavailableError: bubblewrap refuses, or something of it is not in force.
    """
    assert sandbox._bwrap is not None
    with _proof:
        if sandbox._bwrap in _proven:
            return
        try:
            found = sandbox.run(_PROBE, "")
        except SandboxError as error:
            raise isolation.unavailable(str(error)) from None
        open_doors = found.stdout.decode().split("\n")[:-1]
        if found.ended != "exited" or open_doors != ["done"]:
            raise isolation.unavailable(
                f"in force it is not: {', '.join(open_doors) or found.ended} {found.stderr[-200:]}"
            )
        _proven.add(sandbox._bwrap)


_PROBE = """
import os, socket, threading
if 0 in os.getresuid():
    print("it is root")
if os.path.exists("/proc") or os.path.exists("/home"):
    print("it sees the machine's files")
try:
    os.fork()
    print("it can start processes")
except OSError:
    pass
try:
    socket.socket()
    print("it can open sockets")
except OSError:
    pass
try:
    open("/x", "w")
    print("it can write outside /tmp")
except OSError:
    pass
hold = threading.Event()
try:
    for _ in range(80):
        threading.Thread(target=hold.wait).start()
    print("its threads are not counted")
except RuntimeError:
    pass
hold.set()
print("done")
"""
