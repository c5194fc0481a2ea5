"""What the launcher says of a run that did not reach its end."""

import re
import sys
from collections.abc import Collection
from pathlib import Path

from permix_verl.errors import UserError
from permix_verl.ray_cluster import nodes_lost
from permix_verl.training.canary import STOPPED
from permix_verl.training.run_folder import RunFolder
from permix_verl.training.watchdog import CAUSE_FILE

_ESCAPES = re.compile(r"\x1b\[[0-9;]*m")
_EXCEPTION = re.compile(r"(?:\([\w ]+pid=.*?\) )?(?P<name>[\w.]*(?:Error|Exception)): (?P<message>\S.*)")
_GONE = ("ActorDiedError", "ActorUnavailableError", "NodeDiedError", "RayActorError")
"""Of Ray's own exceptions, those that say that a process has ended."""


def stopped_on_purpose(folder: RunFolder, log: Path) -> bool:
    """Whether a run was ended because its rollouts are not its policy's; says so, as the last words."""
    file = folder.path / CAUSE_FILE
    cause = file.read_text() if file.is_file() else ""
    if not cause.startswith(STOPPED):
        return False
    print(f"\nfull log  {log}\nall of it {folder.path}", flush=True)
    print(f"CHECK FAILED: {cause}", file=sys.stderr)
    return True


def explain_failure(status: int, log: Path, cause_file: Path, nodes: Collection[str] = ()) -> None:
    """The end of verl's log, and as the last words the watchdog's cause, or else the line that most likely names it.

    ``nodes`` are Ray's ids of those that the run began on, if several: one that is gone is the very last word.
    """
    lines = [_ESCAPES.sub("", line) for line in log.read_text(errors="replace").splitlines()]
    print("\n".join(lines[-30:]), file=sys.stderr)
    print(f"\nerror: verl ended with status {status}; full log: {log}", file=sys.stderr)
    cause = cause_file.read_text() if cause_file.is_file() else probable_cause(lines)
    if cause:
        print(f"error: {cause[:1000]}", file=sys.stderr)
    if nodes and (gone := _nodes_gone(nodes)):
        print(f"error: {gone}; the same command then goes on from the last checkpoint", file=sys.stderr)


def _nodes_gone(nodes: Collection[str]) -> str | None:
    try:
        lost = nodes_lost(nodes)
    except UserError as error:
        return f"the Ray cluster is gone, or its first node: {error}"
    if not lost:
        return None
    return f"node {' and '.join(lost)} of the Ray cluster is gone; start Ray there again, or on another one"


def probable_cause(lines: list[str]) -> str | None:
    """The last message of ours in a log, or else of any exception.

    Ray's wrappers around it are passed over. Where there is nothing else, a process is gone that could not say why.
    """
    everything = [match for line in lines if (match := _EXCEPTION.match(line))]
    found = [match for match in everything if not match["name"].startswith("ray.")]
    ours = [match["message"] for match in found if match["name"].endswith("UserError")]
    if ours:
        return ours[-1]
    if found:
        return f"{found[-1]['name']}: {found[-1]['message']}"
    gone = [match for match in everything if match["name"].removeprefix("ray.exceptions.") in _GONE]
    if not gone:
        return None
    return (
        f"a process of the run is gone, perhaps with its node ({gone[-1]['message'][:300]}); when the node is there "
        "again, the same command goes on from the last checkpoint"
    )
