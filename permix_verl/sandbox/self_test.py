"""Once a process: a program that tries to get out of its sandbox, and may not."""

import threading
from collections.abc import Callable

from permix_verl.sandbox import bubblewrap
from permix_verl.sandbox.monitor import SandboxError
from permix_verl.sandbox.run import Finished

_lock = threading.Lock()
proven: set[str] = set()
"""Those that were seen to isolate."""


def prove(bwrap: str, run: Callable[[str, str], Finished]) -> None:
    """See that the isolation is in force.

    Raises:
        SandboxUnavailableError: bubblewrap refuses, or something of it is not in force.
    """
    with _lock:
        if bwrap in proven:
            return
        try:
            found = run(_PROBE, "")
        except SandboxError as error:
            raise bubblewrap.unavailable(str(error)) from None
        open_doors = found.stdout.decode().split("\n")[:-1]
        if found.ended != "exited" or open_doors != ["done"]:
            raise bubblewrap.unavailable(
                f"in force it is not: {', '.join(open_doors) or found.ended} {found.stderr[-200:]}"
            )
        proven.add(bwrap)


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
