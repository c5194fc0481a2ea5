"""Orphan guard: ends an engine's processes after the process that started them was killed.

vLLM's engine core does not notice the death of its parent and keeps the GPU's memory, so that the same command finds no
room. The guard is a small process that waits until its parent is gone or reports "done", and kills what is left.

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
    """Guard of the processes started under :meth:`covering`, and of their descendants."""

    def __init__(self) -> None:
        self._token = new_token()
        # A session of its own, so that a terminal's Ctrl-C does not end the guard.
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__, self._token, str(os.getpid())],
            stdin=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    @contextlib.contextmanager
    def covering(self) -> Iterator[None]:
        """Guard the processes that start while the block runs.

        A token in their environment marks them from the start. Their ids are reported at the end of the block, because
        a process that sets its title may overwrite its environment.
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
        engine_processes = [child for child in _children() if child not in others and not _is_shared(child)]
        self._send("".join(f"{child.pid} {child.create_time()}\n" for child in engine_processes))

    def close(self) -> None:
        """End the guard, and the engine processes that are still running."""
        self._send("done\n")
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(GRACE_S)

    def _send(self, text: str) -> None:
        assert self._process.stdin is not None
        # The evaluation goes on without a guard that has died.
        with contextlib.suppress(OSError):
            self._process.stdin.write(text)
            self._process.stdin.flush()


def _children() -> list[psutil.Process]:
    return psutil.Process().children(recursive=True)


def _is_shared(process: psutil.Process) -> bool:
    """Return whether this is multiprocessing's resource tracker, which ends by itself."""
    with contextlib.suppress(psutil.Error):
        return "resource_tracker" in " ".join(process.cmdline())
    return False


def main() -> None:
    token, parent = sys.argv[1], int(sys.argv[2])
    received = b""
    while b"done\n" not in received:
        if select.select([0], [], [], POLL_S)[0]:
            piece = os.read(0, 1 << 16)
            received += piece
            if not piece:
                break
        # A forked engine keeps the pipe open, so the parent's id is checked too.
        elif os.getppid() != parent:
            break
    reported = [_find_process(line) for line in received.decode().splitlines()]
    for _ in range(3):  # a process that is being ended may have just started another
        for process in [*find_processes(token, ENGINE_TOKEN), *filter(None, reported)]:
            with contextlib.suppress(psutil.Error):
                process.kill()  # psutil checks that the id was not reused
        time.sleep(0.1)


def _find_process(line: str) -> psutil.Process | None:
    """Return the process of a line "pid start-time"; ``None`` if it is gone."""
    pid, _, created = line.partition(" ")
    with contextlib.suppress(psutil.Error, ValueError):
        process = psutil.Process(int(pid))
        if abs(process.create_time() - float(created)) < 2:  # tolerates a changed clock
            return process
    return None


if __name__ == "__main__":
    main()
