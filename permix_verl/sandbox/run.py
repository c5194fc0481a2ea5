"""Run one program on one input, and leave nothing of it behind."""

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
from permix_verl.sandbox.monitor import Broken, SandboxError, Watch
from permix_verl.sandbox.prelude import MODULES, stars
from permix_verl.sandbox.seccomp import filter_program

Ended = Literal["exited", "failed"] | Broken
_SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE


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
        sandbox: ``"on"``, or :data:`~permix_verl.sandbox.bubblewrap.OFF`, under which limits hold and nothing else does.

    Raises:
        SandboxUnavailableError: this machine cannot isolate a program.
        UserError: another ``sandbox``.
    """

    sandbox: str = "on"
    _bwrap: str | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        if self.sandbox not in ("on", bubblewrap.OFF):
            raise UserError(f"sandbox={self.sandbox!r} is neither 'on' nor {bubblewrap.OFF!r}; set one of them")
        if self.sandbox == "on":
            self._bwrap = bubblewrap.find_bwrap()
            from permix_verl.sandbox.self_test import prove

            prove(self._bwrap, self.run)

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
        try:
            return self._run(program, stdin, limits or Limits(), call)
        except OSError as error:  # no descriptors, no memory, no processes left on this machine
            raise SandboxError(f"cannot run a program: {error}") from None

    def _run(self, program: str, stdin: str, limits: Limits, call: str | None) -> Finished:
        user = bubblewrap.nobody(next(_RUNS)) if self._bwrap else None
        settings = {
            "limits": limits.of_process(),
            "user": user,
            "call": call,
            "stars": stars(),
            "modules": MODULES,
            "path": ["/packages"] if self._bwrap else sorted({str(path.parent) for path in bubblewrap.package_paths()}),
        }
        with contextlib.ExitStack() as opened:
            given = _sealed(opened, _driver() + marshal.dumps(settings) + program.encode("utf-8", "replace"))
            input_bytes = stdin.encode("utf-8", "replace")
            fed = _sealed(opened, input_bytes)
            begun, begun_end = _pipe(opened)
            info, info_end = _pipe(opened)
            arguments = [str(given), str(begun_end.fileno())]
            passed = [given, begun_end.fileno(), info_end.fileno()]
            if self._bwrap:
                seccomp = _sealed(opened, filter_program())
                passed.append(seccomp)
                # By that name it is a file of its own; who asks for it is rare, and it costs a mount.
                named = _sealed(opened, input_bytes) if "/dev/stdin" in program else None
                passed += [named] if named is not None else []
                command = bubblewrap.command(
                    self._bwrap,
                    user=user,
                    seccomp=seccomp,
                    info=info_end.fileno(),
                    stdin=named,
                    arguments=arguments,
                )
            else:
                command = bubblewrap.interpreter(arguments)
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
            begun_end.close()
            info_end.close()
            seen = Watch(process, begun.fileno(), info.fileno() if self._bwrap else None, limits).finish()
        if not seen.begun:
            said = seen.stderr.strip()[-500:] or "no message"
            raise SandboxError(f"the program did not begin within {seen.wall_s:.1f} s, status {seen.status}: {said}")
        broken = seen.broken
        if broken is None and seen.status == 128 + signal.SIGKILL:
            # Of several threads each counts.
            broken = "cpu_time" if seen.wall_s * (os.cpu_count() or 1) >= limits.cpu_s else None
        ended: Ended = broken or ("failed" if seen.status else "exited")
        return Finished(ended, seen.status, seen.stdout, seen.stderr, seen.wall_s)


_RUNS = itertools.count()


@functools.cache
def _driver() -> bytes:
    """driver.py compiled, for an interpreter of this version."""
    source = Path(__file__).with_name("driver.py").read_text()
    return marshal.dumps(compile(source, "driver.py", "exec", dont_inherit=True))


def _pipe(opened: contextlib.ExitStack) -> tuple[IO[bytes], IO[bytes]]:
    """Both ends, closed at the end at the latest."""
    ends = os.pipe()
    return opened.enter_context(os.fdopen(ends[0], "rb", 0)), opened.enter_context(os.fdopen(ends[1], "wb", 0))


_ENVIRONMENT: Mapping[str, str] = {
    "PATH": "/usr/bin:/bin",
    "HOME": "/tmp",
    "LANG": "C.UTF-8",
    "PYTHONHASHSEED": "0",  # the order of a set is part of what a program prints
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
