"""Problem order, where row ids are positions: in another order the same problems get other personas.

So it was before row ids had a version (``permix_verl.data.row_ids``), and is with ``--row-ids position``. A row's
persona is a function of its id. Two conditions of a comparison that were prepared from differently ordered copies of
one file are then trained and validated on different rows. Rows with ids of their own only stand in another order.
"""

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from permix_verl.data.row_ids import has_content_ids

CONSEQUENCE = (
    "other personas for its rows and another held-out set, since a row's persona depends on its position in the file"
)
SAME_ROWS = "the same rows in another order, and so other files"
_MAX_FOLDERS = 1000
"""Folders whose manifests are compared, at most."""


def other_order(before: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    """Return whether two manifests describe the same problems in two orders."""
    same_problems = before.get("problems_sha256") is not None and before["problems_sha256"] == now.get(
        "problems_sha256"
    )
    return same_problems and before.get("source_sha256") != now.get("source_sha256")


def consequence(now: Mapping[str, Any]) -> str:
    """Return what another order of the problems means for data with this manifest."""
    return SAME_ROWS if has_content_ids(now) else CONSEQUENCE


def warn_of_other_order(out: Path, identity: Mapping[str, Any], problems: int) -> None:
    """Print a note if ``out``, or a folder beside it, holds data of the same problems in another order.

    Args:
        identity: :meth:`SourceStats.identity` of the data about to be written.
        problems: number of problems.
    """
    for folder, manifest in _manifests(out):
        if other_order(manifest, identity) and not has_content_ids(manifest):
            print(
                f"note: {folder} was made of the same {problems} problems in another order; these data have "
                f"{CONSEQUENCE}; prepare both from one file to compare them",
                file=sys.stderr,
            )
            return


def read_manifest(data: Path) -> dict[str, Any]:
    """Return the manifest of a prepared data folder; empty if it is missing or unreadable."""
    try:
        found = json.loads((data / "manifest.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return dict(found) if isinstance(found, dict) else {}


def _manifests(out: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yield the manifests of ``out``, of folders beside it (``data/rlvr``) and of runs beside its run."""
    out = out.resolve()
    beside = [out, *sorted(out.parent.glob("*/")), *sorted(out.parent.parent.glob("*/data/"))]
    for folder in beside[:_MAX_FOLDERS]:
        if manifest := read_manifest(folder):
            yield folder, manifest
