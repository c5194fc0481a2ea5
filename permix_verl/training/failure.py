"""Final messages of the launcher about a run that failed."""

import re
import sys
from collections.abc import Collection
from pathlib import Path

from permix_verl.errors import UserError
from permix_verl.explain.choosing import Explanation, explain
from permix_verl.runs.folder import RunFolder
from permix_verl.training.guards.rollout_mismatch import STOPPED
from permix_verl.training.guards.watchdog import CAUSE_FILE
from permix_verl.utils.console import permix_command
from permix_verl.utils.ray_cluster import nodes_lost

_ESCAPES = re.compile(r"\x1b\[[0-9;]*m")
MAX_QUOTED_CHARS = 240
"""Longest quotation of an exception in the last line."""


def report_deliberate_stop(folder: RunFolder, log: Path) -> bool:
    """Return whether the rollout mismatch guard stopped the run; if so, print the failed check last."""
    file = folder.path / CAUSE_FILE
    cause = file.read_text() if file.is_file() else ""
    if not cause.startswith(STOPPED):
        return False
    print(f"\nfull log  {log}\nfolder    {folder.path}", flush=True)
    print(f"CHECK FAILED: {cause}", file=sys.stderr)
    return True


def explain_failure(status: int, log: Path, cause_file: Path, nodes: Collection[str] = ()) -> None:
    """Print the end of verl's log, then the watchdog's cause or else the one that ``doctor --explain`` names.

    Args:
        nodes: Ray's ids of the nodes at the start, for a run on several; a lost node is reported last.
    """
    # Split at newlines only, so that line numbers match an editor's despite the carriage returns of progress bars.
    lines = log.read_bytes().decode(errors="replace").split("\n")
    print("\n".join(_ESCAPES.sub("", line) for line in lines[-31:]).rstrip("\n"), file=sys.stderr)
    print(f"\nerror: verl ended with status {status}; full log: {log}", file=sys.stderr)
    explanation = explain(lines)
    sign = explanation.cause
    if sign is not None:
        by = f" by {sign.process}" if sign.process else ""
        follow = f"; {explanation.followed_by} other errors" if explanation.followed_by else ""
        first = f"line {sign.line}{by}: {sign.said.splitlines()[0][:MAX_QUOTED_CHARS]}"
        print(f"       {first}{follow}; {permix_command()} doctor --explain {log}", file=sys.stderr)
    cause = cause_file.read_text() if cause_file.is_file() else probable_cause(explanation)
    if cause:
        print(f"error: {cause[:1000]}", file=sys.stderr)
    if nodes and (loss := _describe_node_loss(nodes)):
        print(f"error: {loss}; the same command then goes on from the last checkpoint", file=sys.stderr)


def _describe_node_loss(nodes: Collection[str]) -> str | None:
    try:
        lost = nodes_lost(nodes)
    except UserError as error:
        return f"the Ray cluster is gone, or its first node: {error}"
    if not lost:
        return None
    return f"node {' and '.join(lost)} of the Ray cluster is gone; start Ray there again, or on another one"


def probable_cause(explanation: Explanation) -> str | None:
    """Return a log's cause in one line: permix's own message, or a known cause with its remedy, or the exception."""
    sign = explanation.cause
    if sign is None:
        return None
    message = sign.said.splitlines()[0]
    if sign.kind == "ours":
        return message.partition(": ")[2]
    if sign.signature is None:
        return message
    return f"{explanation.meaning} ({message[:MAX_QUOTED_CHARS]}); {sign.signature.remedy}"
