"""A sandbox for programs that a model wrote: they can neither do harm nor see what they are compared with.

    from permix_verl.sandbox import Limits, Sandbox
    Sandbox().run("print(int(input()) + 1)", "41\\n").stdout     # b"42\\n"

A program gets one process in its own namespaces (bubblewrap): a read-only file system with Python only, no network, no
right to start processes, and resource limits. The expected output never enters: the program sees its input, and its
output is compared outside. docs/code.md lists what is isolated, and how.
"""

from permix_verl.sandbox.bubblewrap import OFF, SandboxUnavailableError
from permix_verl.sandbox.limits import Limits
from permix_verl.sandbox.monitor import SandboxError
from permix_verl.sandbox.run import RunResult, Sandbox

__all__ = ["OFF", "Limits", "RunResult", "Sandbox", "SandboxError", "SandboxUnavailableError"]
