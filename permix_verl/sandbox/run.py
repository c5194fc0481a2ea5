"""Run one program on one input in the sandbox, and leave no process or file behind."""

import contextlib
import fcntl
import functools
import itertools
import marshal
import os
import signal
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Literal

from permix_verl.errors import UserError
from permix_verl.sandbox import bubblewrap
from permix_verl.sandbox.limits import Limits
from permix_verl.sandbox.monitor import BrokenLimit, Monitor, SandboxError
from permix_verl.sandbox.prelude import MODULES, star_imports
from permix_verl.sandbox.seccomp import filter_program

Ended = Literal["exited", "failed"] | BrokenLimit
_SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE


@dataclass(frozen=True, slots=True)
class RunResult:
    """Result of one run.

    Attributes:
        ended: "exited"; "failed" (an exception, a signal); or the limit that the program exceeded.
        exit_status: 128 + N after signal N.
        stdout: standard output, up to the limit.
        stderr: the end of standard error, as text.
        wall_s: wall-clock time in seconds.
    """

    ended: Ended
    exit_status: int
    stdout: bytes
    stderr: str
    wall_s: float


@dataclass
class Sandbox:
    """A sandbox for programs. Threads may share one.

    Args:
        sandbox: ``"on"``, or :data:`~permix_verl.sandbox.bubblewrap.OFF`: limits only, no isolation.

    Raises:
        SandboxUnavailableError: this machine cannot isolate a program.
        UserError: another value of ``sandbox``.
    """

    sandbox: str = "on"
    _bwrap: str | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        if self.sandbox not in ("on", bubblewrap.OFF):
            raise UserError(f"sandbox={self.sandbox!r} is neither 'on' nor {bubblewrap.OFF!r}", "set one of them")
        if self.sandbox == "on":
            self._bwrap = bubblewrap.find_bwrap()
            from permix_verl.sandbox.self_test import check_isolation

            check_isolation(self._bwrap, self.run)

    def run(self, program: str, stdin: str, limits: Limits | None = None, call: str | None = None) -> RunResult:
        """Run a program once.

        Args:
            program: Python source; the names that LiveCodeBench imports are available to it.
            stdin: its standard input; with ``call`` the arguments, one JSON value per line.
            call: a function of the program, or a method of its ``Solution``; ``stdout`` then holds its return value as
                JSON, and no printed output.

        Raises:
            SandboxError: the sandbox failed.
        """
        try:
            return self._run(program, stdin, limits or Limits(), call)
        except OSError as error:  # the machine is out of descriptors, memory or processes
            raise SandboxError(f"cannot run a program: {error}") from None

    def _run(self, program: str, stdin: str, limits: Limits, call: str | None) -> RunResult:
        with contextlib.ExitStack() as opened:
            begun, begun_end = _pipe(opened)
            info, info_end = _pipe(opened)
            process = self._start(opened, program, stdin, limits, call, begun_end.fileno(), info_end.fileno())
            begun_end.close()
            info_end.close()
            outcome = Monitor(process, begun.fileno(), info.fileno() if self._bwrap else None, limits).finish()
        if not outcome.begun:
            message = outcome.stderr.strip()[-500:] or "no message"
            raise SandboxError(
                f"the program did not start within {outcome.wall_s:.1f} s, status {outcome.status}: {message}"
            )
        broken = outcome.broken
        if broken is None and outcome.status == 128 + signal.SIGKILL:
            # CPU time adds up over threads.
            broken = "cpu_time" if outcome.wall_s * (os.cpu_count() or 1) >= limits.cpu_s else None
        ended: Ended = broken or ("failed" if outcome.status else "exited")
        return RunResult(ended, outcome.status, outcome.stdout, outcome.stderr, outcome.wall_s)

    def _start(
        self,
        opened: contextlib.ExitStack,
        program: str,
        stdin: str,
        limits: Limits,
        call: str | None,
        begun: int,
        info: int,
    ) -> "subprocess.Popen[bytes]":
        """Start the driver with the program; ``begun`` and ``info`` are the ends of pipes that it writes to."""
        user = bubblewrap.unprivileged_uid(next(_RUNS)) if self._bwrap else None
        settings = {
            "limits": limits.rlimits(),
            "user": user,
            "call": call,
            "star_imports": star_imports(),
            "modules": MODULES,
            "path": ["/packages"] if self._bwrap else sorted({str(path.parent) for path in bubblewrap.package_paths()}),
        }
        driver = _sealed(opened, _driver() + marshal.dumps(settings) + program.encode("utf-8", "replace"))
        input_bytes = stdin.encode("utf-8", "replace")
        arguments = [str(driver), str(begun)]
        inherited = [driver, begun, info]
        if self._bwrap:
            seccomp = _sealed(opened, filter_program())
            # /dev/stdin is a separate file; few programs use it, and it costs a mount.
            stdin_file = _sealed(opened, input_bytes) if "/dev/stdin" in program else None
            inherited += [fd for fd in (seccomp, stdin_file) if fd is not None]
            command = bubblewrap.command(
                self._bwrap, user=user, seccomp=seccomp, info=info, stdin=stdin_file, arguments=arguments
            )
        else:
            command = bubblewrap.interpreter(arguments)
        return subprocess.Popen(
            command,
            stdin=_sealed(opened, input_bytes),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=_ENVIRONMENT,
            cwd="/",
            pass_fds=inherited,
            start_new_session=True,
        )


_RUNS = itertools.count()


@functools.cache
def _driver() -> bytes:
    """Return driver.py compiled for this version of the interpreter."""
    source = Path(__file__).with_name("driver.py").read_text()
    return marshal.dumps(compile(source, "driver.py", "exec", dont_inherit=True))


def _pipe(opened: contextlib.ExitStack) -> tuple[IO[bytes], IO[bytes]]:
    """Return both ends of a pipe, closed with the exit stack at the latest."""
    ends = os.pipe()
    return opened.enter_context(os.fdopen(ends[0], "rb", 0)), opened.enter_context(os.fdopen(ends[1], "wb", 0))


_ENVIRONMENT: Mapping[str, str] = {
    "PATH": "/usr/bin:/bin",
    "HOME": "/tmp",
    "LANG": "C.UTF-8",
    "PYTHONHASHSEED": "0",  # the order of sets can show in a program's output
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
}


def _sealed(opened: contextlib.ExitStack, content: bytes) -> int:
    """Return a descriptor of a sealed, immutable file with this content, positioned at its start."""
    fd = os.memfd_create("permix", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    opened.callback(os.close, fd)
    with os.fdopen(os.dup(fd), "wb") as stream:
        stream.write(content)
    os.lseek(fd, 0, os.SEEK_SET)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _SEALS)
    return fd
