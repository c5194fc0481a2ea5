"""Find and end every process of a run: Ray and vLLM start dozens, and a killed driver orphans them.

All processes of a run, or of an evaluation's engine, inherit one environment variable with a unique token. When the
run is over, every process that still carries the token is ended by its id.
"""

import contextlib
import os
import uuid
from pathlib import Path

import psutil

TOKEN_VARIABLE = "PERMIX_RUN_TOKEN"


def new_token() -> str:
    return uuid.uuid4().hex


def find_processes(token: str | None = None, variable: str = TOKEN_VARIABLE) -> list[psutil.Process]:
    """Return the processes whose environment contains ``token`` or, without it, sets ``variable``; not this one.

    The token may be in any variable: a process that sets its title overwrites a part of its environment.
    """
    matches = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            variables = _environment(process)
            carries = token in variables.values() if token else bool(variables.get(variable))
            if process.pid != os.getpid() and carries:
                matches.append(process)
    return matches


def _with_descendants(processes: list[psutil.Process]) -> list[psutil.Process]:
    """Add all descendants: Ray's agent may overwrite its whole environment with its title, and the token with it."""
    tree = {process.pid: process for process in processes}
    parents: dict[psutil.Process, int] = {}
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            parents[process] = process.ppid()
    grown = bool(tree)
    while grown:
        below = {process.pid: process for process, parent in parents.items() if parent in tree}
        grown = not below.keys() <= tree.keys()
        tree |= below
    tree.pop(os.getpid(), None)
    return list(tree.values())


def _environment(process: psutil.Process) -> dict[str, str]:
    """Parse /proc/PID/environ ourselves: setproctitle leaves NUL gaps, at which psutil stops."""
    block = Path(f"/proc/{process.pid}/environ")
    if not block.exists():
        return process.environ()
    try:
        entries = block.read_bytes().split(b"\0")
    except OSError:  # another user's process, or one that has just ended
        return {}
    pairs = (os.fsdecode(entry).partition("=") for entry in entries if b"=" in entry)
    return {name: value for name, _, value in pairs}


def end_processes(token: str, grace_s: float = 10.0) -> int:
    """Terminate, then kill, every process with the token and all their descendants; return how many there were."""
    total = 0
    for _ in range(3):  # a supervisor may start a child while it is being ended
        processes = _with_descendants(find_processes(token))
        if not processes:
            break
        total += len(processes)
        for process in processes:
            with contextlib.suppress(psutil.Error):
                process.terminate()
        _, alive = psutil.wait_procs(processes, timeout=grace_s)
        for process in alive:
            with contextlib.suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(alive, timeout=grace_s)
    return total
