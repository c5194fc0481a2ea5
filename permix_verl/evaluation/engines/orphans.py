"""Ends an engine's processes when the process that started them was killed.

vLLM's engine core does not notice that its parent is gone: it stays, with the GPU's memory, and
the same command finds no room. So a small process waits on a pipe; when the pipe closes, as it
does however a process ends, it kills what it was told about.

    python -m permix_verl.evaluation.engines.orphans    # reads "pid start-time" lines from stdin
"""

import subprocess
import sys


class OrphanGuard:
    """Watches over the child processes that there are when it is made."""

    def __init__(self) -> None:
        import psutil

        children = psutil.Process().children(recursive=True)
        lines = "".join(f"{process.pid} {process.create_time()}\n" for process in children)
        # In a session of its own, so that a terminal's Ctrl-C does not end it before its time.
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__], stdin=subprocess.PIPE, text=True, start_new_session=True
        )
        assert self._process.stdin is not None
        self._process.stdin.write(lines)
        self._process.stdin.flush()

    def close(self) -> None:
        """The processes ended as they should, or are ended now."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def main() -> None:
    import psutil

    told = [line.split() for line in sys.stdin]
    for pid, created in told:
        try:
            process = psutil.Process(int(pid))
            if process.create_time() == float(created):  # and not another one that got its number
                process.kill()
        except psutil.Error:
            pass


if __name__ == "__main__":
    main()
