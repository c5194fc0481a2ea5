"""``permix doctor --explain``."""

import json
from pathlib import Path

from permix_verl.explain.choosing import explain
from permix_verl.explain.reading import open_log
from permix_verl.explain.report import as_json, as_text
from permix_verl.training.guards.watchdog import CAUSE_FILE


def explain_log(name: str, as_data: bool) -> int:
    """Print what a log says of its failure.

    Args:
        name: file, folder of a run, or ``-``.
        as_data: as JSON.

    Returns:
        0 if a cause was found, 1 if none was.

    Raises:
        UserError: it cannot be read.
    """
    with open_log(name) as (path, lines):
        found = explain(lines)
    note = Path(name) / CAUSE_FILE  # of the newest launch: each one begins by removing it
    watchdog = note.read_text() if note.is_file() else ""
    if as_data:
        print(json.dumps(as_json(found, path, watchdog), indent=1, ensure_ascii=False))
    else:
        print(as_text(found, path, watchdog))
    return 0 if found.cause is not None or watchdog else 1
