"""Ends an engine's processes when the process that started them was killed.

vLLM's engine core does not notice that its parent is gone: it stays, with the GPU's memory, and
the same command finds no room. So a small process waits until its parent is gone, or says that
it is done, and kills what is left of the engine.

    python -m permix_verl.inference.engines.orphan_guard TOKEN PARENT  # until stdin says "done", or the parent is gone
"""

import contextlib
import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator

import psutil

from permix_verl.utils.processes import find_processes, new_token

ENGINE_TOKEN = "PERMIX_ENGINE_TOKEN"
POLL_S = 0.5
GRACE_S = 30


class OrphanGuard:
    """Watches over the processes that are started under :meth:`covering`, and over theirs."""

    def __init__(self) -> None:
        self._token = new_token()
        # In a session of its own, so that a terminal's Ctrl-C does not end it before its time.
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__, self._token, str(os.getpid())],
            stdin=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    @contextlib.contextmanager
    def covering(self) -> Iterator[None]:
        """What is started now is the engine's, from its first moment on.

        By a token in its environment; once it stands also by its id, as a process that sets its
        title may write over its environment.
        """
        others = set(_children())
        before = os.environ.get(ENGINE_TOKEN)
        os.environ[ENGINE_TOKEN] = self._token
        try:
            yield
        finally:
            if before is None:
                del os.environ[ENGINE_TOKEN]
            else:
                os.environ[ENGINE_TOKEN] = before
        mine = [child for child in _children() if child not in others and not _is_shared(child)]
        self._say("".join(f"{child.pid} {child.create_time()}\n" for child in mine))

    def close(self) -> None:
        """The processes ended as they should, or are ended now."""
        self._say("done\n")
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(GRACE_S)

    def _say(self, text: str) -> None:
        assert self._process.stdin is not None
        # A guard that is gone guards nothing, and is no reason to lose an evaluation.
        with contextlib.suppress(OSError):
            self._process.stdin.write(text)
            self._process.stdin.flush()


def _children() -> list[psutil.Process]:
    return psutil.Process().children(recursive=True)


def _is_shared(process: psutil.Process) -> bool:
    """Whether it is multiprocessing's own, which ends by itself and cleans up after the others."""
    with contextlib.suppress(psutil.Error):
        return "resource_tracker" in " ".join(process.cmdline())
    return False


def main() -> None:
    token, parent = sys.argv[1], int(sys.argv[2])
    heard = b""
    while b"done\n" not in heard:
        if select.select([0], [], [], POLL_S)[0]:
            piece = os.read(0, 1 << 16)
            heard += piece
            if not piece:
                break
        # A forked engine holds the pipe open, so its end alone does not tell that the parent is gone.
        elif os.getppid() != parent:
            break
    told = [_told(line) for line in heard.decode().splitlines()]
    for _ in range(3):  # one that is being ended may have just started another
        for process in [*find_processes(token, ENGINE_TOKEN), *filter(None, told)]:
            with contextlib.suppress(psutil.Error):
                process.kill()  # psutil looks whether another process got its number
        time.sleep(0.1)


def _told(line: str) -> psutil.Process | None:
    """The process of a line "pid start-time", unless it is gone."""
    pid, _, created = line.partition(" ")
    with contextlib.suppress(psutil.Error, ValueError):
        process = psutil.Process(int(pid))
        if abs(process.create_time() - float(created)) < 2:  # the clock may have been set meanwhile
            return process
    return None


if __name__ == "__main__":
    main()
