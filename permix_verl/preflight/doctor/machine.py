"""Disk, memory and the limits of this machine."""

import os
import resource
import shutil
from collections.abc import Iterator
from pathlib import Path

from permix_verl.preflight.doctor.types import Finding, Setup, error, ok, warning

DISK_GB = 5
"""Of adapters, optimizer states, rollouts and logs that a run keeps."""
SHM_MB = 1024
OPEN_FILES = 4096


def disk(setup: Setup) -> Iterator[Finding]:
    """Checkpoints and rollouts find room, and the folder can be written to."""
    if setup.run_dir is None:
        return
    folder = setup.run_dir
    while not folder.exists():
        folder = folder.parent
    if not os.access(folder, os.W_OK):
        yield error(f"{folder} cannot be written to", "set RUN_DIR to a folder of yours")
        return
    free = shutil.disk_usage(folder).free / 1e9
    if free < DISK_GB:
        yield error(f"{free:.1f} GB free at {folder}, and a run keeps up to {DISK_GB}", "make room, or set RUN_DIR")
    else:
        yield ok(f"{free:.0f} GB free at {folder}")


def shared_memory(setup: Setup) -> Iterator[Finding]:
    """Weights travel to the rollout engine through it, and Ray keeps its objects there; Docker gives 64 MB."""
    folder = Path("/dev/shm")
    if not folder.is_dir() or setup.trainer == "sft":
        return
    free = shutil.disk_usage(folder).free >> 20
    bucket = setup.number("actor_rollout_ref.rollout.checkpoint_engine.update_weights_bucket_megabytes", 0)
    needed = SHM_MB + 2 * bucket
    if free < needed:
        yield error(f"{free} MiB of shared memory (/dev/shm), and {needed} are needed", "docker run --shm-size=16g")
    else:
        yield ok(f"{free} MiB of shared memory")


def open_files(setup: Setup) -> Iterator[Finding]:
    """Ray holds many, and fails in odd ways when there are too few."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < OPEN_FILES:
        yield warning(f"at most {hard} open files", f"ulimit -n {OPEN_FILES}, or docker run --ulimit nofile=65536")
    else:
        yield ok(f"{soft} open files, up to {'any number' if hard == resource.RLIM_INFINITY else hard}")
