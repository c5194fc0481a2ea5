"""Checks of disk, shared memory and limits of this machine."""

import os
import resource
import shutil
from collections.abc import Iterator
from pathlib import Path

from permix_verl.preflight.doctor.types import Finding, Setup, error, ok, warning

DISK_GB = 5
"""Disk space for a run's adapters, optimizer states, rollouts and logs, GB."""
SHM_MB = 1024
OPEN_FILES = 4096


def disk(setup: Setup) -> Iterator[Finding]:
    """Check that the run folder is writable and has room for checkpoints and rollouts."""
    if setup.run_dir is None:
        return
    folder = setup.run_dir
    while not folder.exists():
        folder = folder.parent
    if not os.access(folder, os.W_OK):
        yield error(f"{folder} is not writable", "set RUN_DIR to a writable folder")
        return
    free = shutil.disk_usage(folder).free / 1e9
    if free < DISK_GB:
        yield error(
            f"{free:.1f} GB free at {folder}, but a run needs up to {DISK_GB}", "free disk space, or set RUN_DIR"
        )
    else:
        yield ok(f"{free:.0f} GB free at {folder}")


def shared_memory(setup: Setup) -> Iterator[Finding]:
    """Check shared memory, which carries weights to the rollout engine and Ray's objects; Docker's default is 64 MB."""
    folder = Path("/dev/shm")
    if not folder.is_dir() or setup.trainer == "sft":
        return
    free = shutil.disk_usage(folder).free >> 20
    bucket = setup.number("actor_rollout_ref.rollout.checkpoint_engine.update_weights_bucket_megabytes", 0)
    needed = SHM_MB + 2 * bucket
    if free < needed:
        yield error(f"{free} MiB of shared memory (/dev/shm), but {needed} are needed", "use docker run --shm-size=16g")
    else:
        yield ok(f"{free} MiB of shared memory")


def open_files(setup: Setup) -> Iterator[Finding]:
    """Check the limit on open files: Ray opens many, and fails in unclear ways at the limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < OPEN_FILES:
        yield warning(f"at most {hard} open files", f"use ulimit -n {OPEN_FILES}, or docker run --ulimit nofile=65536")
    else:
        yield ok(f"{soft} open files, up to {'any number' if hard == resource.RLIM_INFINITY else hard}")
