"""Programs of a model, run where they can do no harm and learn nothing.

    from permix_verl.sandbox import Limits, Sandbox
    Sandbox().run("print(int(input()) + 1)", "41\\n").stdout     # b"42\\n"

A program gets one process in namespaces of its own (bubblewrap), with a read-only file system that holds Python and
nothing else, no network, no right to start processes, and limits on all it can use up. What it is compared with never
goes in: it sees its input, and its output is looked at outside. docs/code.md lists what is kept from it, and how.
"""

from permix_verl.sandbox.bubblewrap import OFF, SandboxUnavailableError
from permix_verl.sandbox.limits import Limits
from permix_verl.sandbox.monitor import SandboxError
from permix_verl.sandbox.run import Finished, Sandbox

__all__ = ["OFF", "Finished", "Limits", "Sandbox", "SandboxError", "SandboxUnavailableError"]
