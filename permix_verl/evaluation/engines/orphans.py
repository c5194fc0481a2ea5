"""Ends an engine's processes when the process that started them was killed.

vLLM's engine core does not notice that its parent is gone: it stays, with the GPU's memory, and
the same command finds no room. So a small process waits on a pipe; when the pipe closes, as it
does however a process ends, it kills whatever carries the engine's token.

    python -m permix_verl.evaluation.engines.orphans TOKEN    # until stdin is closed
"""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator

ENGINE_TOKEN = "PERMIX_ENGINE_TOKEN"


class OrphanGuard:
    """Watches over the processes that are started under :meth:`covering`, and over theirs."""

    def __init__(self) -> None:
        from permix_verl.processes import new_token

        self._token = new_token()
        # In a session of its own, so that a terminal's Ctrl-C does not end it before its time.
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__, self._token], stdin=subprocess.PIPE, text=True, start_new_session=True
        )

    @contextlib.contextmanager
    def covering(self) -> Iterator[None]:
        """What is started now is the engine's, from its first moment on.

        By a token in its environment; once it stands also by its id, as a process that sets its
        title may write over its environment.
        """
        import psutil

        os.environ[ENGINE_TOKEN] = self._token
        try:
            yield
        finally:
            del os.environ[ENGINE_TOKEN]
        assert self._process.stdin is not None
        for process in psutil.Process().children(recursive=True):
            if process.pid != self._process.pid:
                self._process.stdin.write(f"{process.pid} {process.create_time()}\n")
        self._process.stdin.flush()

    def close(self) -> None:
        """The processes ended as they should, or are ended now."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def main() -> None:
    import psutil

    from permix_verl.processes import running

    told = []
    for pid, created in (line.split() for line in sys.stdin):
        with contextlib.suppress(psutil.Error):
            process = psutil.Process(int(pid))
            if process.create_time() == float(created):
                told.append(process)
    for _ in range(3):  # one that is being ended may have just started another
        for process in [*running(sys.argv[1], ENGINE_TOKEN), *told]:
            with contextlib.suppress(psutil.Error):
                process.kill()  # psutil looks whether another process got its number
        time.sleep(0.1)


if __name__ == "__main__":
    main()
