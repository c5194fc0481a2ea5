"""What the launcher says of a run that did not reach its end."""

import re
import sys
from collections.abc import Collection
from pathlib import Path

from permix_verl.errors import UserError
from permix_verl.explain.choosing import Explanation, explain
from permix_verl.runs.folder import RunFolder
from permix_verl.training.guards.rollout_mismatch import STOPPED
from permix_verl.training.guards.watchdog import CAUSE_FILE
from permix_verl.utils.ray_cluster import nodes_lost

_ESCAPES = re.compile(r"\x1b\[[0-9;]*m")
QUOTED = 240
"""Characters of an exception that the last line quotes."""


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
    """The end of verl's log, and as the last words the watchdog's cause, or else the log's own (``doctor --explain``).

    ``nodes`` are Ray's ids of those that the run began on, if several: one that is gone is the very last word.
    """
    # Numbered as editors do: the carriage returns of progress bars begin no line.
    lines = log.read_bytes().decode(errors="replace").split("\n")
    print("\n".join(_ESCAPES.sub("", line) for line in lines[-31:]).rstrip("\n"), file=sys.stderr)
    print(f"\nerror: verl ended with status {status}; full log: {log}", file=sys.stderr)
    explanation = explain(lines)
    sign = explanation.cause
    if sign is not None:
        by = f" by {sign.process}" if sign.process else ""
        follow = f"; {explanation.followed_by} other errors" if explanation.followed_by else ""
        first = f"line {sign.line}{by}: {sign.said.splitlines()[0][:QUOTED]}"
        print(f"       {first}{follow}; permix doctor --explain {log}", file=sys.stderr)
    cause = cause_file.read_text() if cause_file.is_file() else probable_cause(explanation)
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


def probable_cause(explanation: Explanation) -> str | None:
    """A log's cause in one line: a message of ours as it is, what is known with its remedy, all else quoted."""
    sign = explanation.cause
    if sign is None:
        return None
    said = sign.said.splitlines()[0]
    if sign.kind == "ours":
        return said.partition(": ")[2]
    if sign.signature is None:
        return said
    return f"{sign.signature.cause} ({said[:QUOTED]}); {sign.signature.remedy}"
