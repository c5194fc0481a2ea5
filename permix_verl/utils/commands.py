"""Commands that a verb runs one after another, as processes of their own."""

import subprocess
import sys
from collections.abc import Mapping, Sequence

PERMIX = (sys.executable, "-m", "permix_verl.cli.main")
"""The command ``permix`` of this environment."""
INTERRUPTED = 130
"""Exit status after Ctrl-C."""


def run_command(command: Sequence[str], environment: Mapping[str, str] | None = None) -> int:
    """Run a command to its end, also after Ctrl-C.

    The terminal interrupts the command, too. A training then needs up to a minute to end its processes, and
    ``subprocess.run`` would kill it before.

    Args:
        command: program and arguments.
        environment: its variables; default: this process's.

    Returns:
        Its exit status; 128 and the signal's number if one ended it, :data:`INTERRUPTED` after Ctrl-C.
    """
    with subprocess.Popen(command, env=environment) as process:
        try:
            status = process.wait()
        except KeyboardInterrupt:
            process.wait()
            return INTERRUPTED
    return status if status >= 0 else 128 - status
