"""Leave no process behind: Ray and vLLM start dozens, and a killed driver orphans them.

Every process of a run, or of an evaluation's engine, inherits one environment variable with a
value of its own; whatever still carries it when that is over belonged to it, and is ended by its id.
"""

import contextlib
import os
import uuid
from pathlib import Path

import psutil

TOKEN_VARIABLE = "PERMIX_RUN_TOKEN"


def new_token() -> str:
    return uuid.uuid4().hex


def running(token: str | None = None, variable: str = TOKEN_VARIABLE) -> list[psutil.Process]:
    """The live processes that carry the token, in whatever variable, or any token in this one; this process aside.

    A process that sets its title writes over a part of its environment: of two variables it may have lost either.
    """
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            variables = _environment(process)
            carried = token in variables.values() if token else bool(variables.get(variable))
            if process.pid != os.getpid() and carried:
                found.append(process)
    return found


def _with_descendants(processes: list[psutil.Process]) -> list[psutil.Process]:
    """These, and those below them that show no token: where its title fits, Ray's agent writes over all variables."""
    found = {process.pid: process for process in processes}
    parents: dict[psutil.Process, int] = {}
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            parents[process] = process.ppid()
    grown = bool(found)
    while grown:
        below = {process.pid: process for process, parent in parents.items() if parent in found}
        grown = not below.keys() <= found.keys()
        found |= below
    found.pop(os.getpid(), None)
    return list(found.values())


def _environment(process: psutil.Process) -> dict[str, str]:
    """As psutil has it, which ends at the first gap; and a process that sets its title makes gaps."""
    block = Path(f"/proc/{process.pid}/environ")
    if not block.exists():
        return process.environ()
    try:
        entries = block.read_bytes().split(b"\0")
    except OSError:  # another user's, or just gone
        return {}
    pairs = (os.fsdecode(entry).partition("=") for entry in entries if b"=" in entry)
    return {name: value for name, _, value in pairs}


def end_all(token: str, grace_s: float = 10.0) -> int:
    """Terminate, then kill, every process with the token, and theirs; return how many there were."""
    total = 0
    for _ in range(3):  # a supervisor may start a child while it is being ended
        processes = _with_descendants(running(token))
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
