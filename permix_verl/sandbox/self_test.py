"""Self-test, once per process: a program that tries to escape its sandbox must fail."""

import threading
from collections.abc import Callable

from permix_verl.sandbox import bubblewrap
from permix_verl.sandbox.monitor import SandboxError
from permix_verl.sandbox.run import RunResult

_lock = threading.Lock()
verified: set[str] = set()
"""Paths of ``bwrap`` binaries that passed the self-test."""


def check_isolation(bwrap: str, run: Callable[[str, str], RunResult]) -> None:
    """Check that the isolation is effective.

    Raises:
        SandboxUnavailableError: bubblewrap fails, or the isolation is not effective.
    """
    with _lock:
        if bwrap in verified:
            return
        try:
            result = run(_PROBE, "")
        except SandboxError as error:
            raise bubblewrap.unavailable(str(error)) from None
        findings = result.stdout.decode().split("\n")[:-1]
        if result.ended != "exited" or findings != ["done"]:
            raise bubblewrap.unavailable(
                f"isolation is not effective: {', '.join(findings) or result.ended} {result.stderr[-200:]}"
            )
        verified.add(bwrap)


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
