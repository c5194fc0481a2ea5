"""The same problems in another order: other personas and another held-out set, so not the same data.

A row's id is its place in the file, and what is drawn for a row is a function of its id. Two arms of a comparison that
were prepared from differently ordered copies of one file are trained and validated on other rows.
"""

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

CONSEQUENCE = (
    "other personas for its rows and another held-out set, since what is drawn hangs on a row's place in the file"
)
_MOST = 1000
"""Manifests that are looked at."""


def other_order(before: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    """Whether two manifests are of the same problems in two orders."""
    same_problems = before.get("problems_sha256") is not None and before["problems_sha256"] == now.get(
        "problems_sha256"
    )
    return same_problems and before.get("source_sha256") != now.get("source_sha256")


def say_other_order(out: Path, identity: Mapping[str, Any], problems: int) -> None:
    """Say it where data of the same problems in another order lie in ``out`` or beside it, as a comparison's arms do.

    Args:
        identity: of the manifest that is about to be written.
        problems: how many there are.
    """
    for folder, manifest in _manifests(out):
        if other_order(manifest, identity):
            print(
                f"note: {folder} was made of the same {problems} problems in another order; these data have "
                f"{CONSEQUENCE}; prepare both from one file to compare them",
                file=sys.stderr,
            )
            return


def read_manifest(data: Path) -> dict[str, Any]:
    """The manifest of a folder of prepared data; empty where it has none that reads."""
    try:
        found = json.loads((data / "manifest.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return dict(found) if isinstance(found, dict) else {}


def _manifests(out: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Of ``out`` itself; of folders beside it (``data/permix``, ``data/rlvr``); of runs beside its run."""
    out = out.resolve()
    beside = [out, *sorted(out.parent.glob("*/")), *sorted(out.parent.parent.glob("*/data/"))]
    for folder in beside[:_MOST]:
        if manifest := read_manifest(folder):
            yield folder, manifest
