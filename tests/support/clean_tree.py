"""A copy of the tracked files, without build folders, environments and runs."""

import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def tracked_files() -> list[Path]:
    """Return the tracked files that exist, relative to the checkout."""
    names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout.split(b"\0")
    return [Path(os.fsdecode(name)) for name in names if name and os.path.lexists(ROOT / os.fsdecode(name))]


def copy_tracked(target: Path) -> Path:
    """Copy the tracked files, links as links, into a new folder."""
    target.mkdir(parents=True)
    listed = b"\0".join(os.fsencode(file) for file in tracked_files())
    pack = ["tar", "--create", "--no-recursion", "--null", "--files-from=-", "--file=-"]
    archive = subprocess.run(pack, cwd=ROOT, input=listed, capture_output=True, check=True).stdout
    subprocess.run(["tar", "--extract", "--file=-"], cwd=target, input=archive, check=True)
    return target
