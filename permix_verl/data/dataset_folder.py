"""The folder of a prepared data set: ``train.parquet``, ``val.parquet`` and ``manifest.json``, written atomically."""

import contextlib
import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def atomic_dataset_dir(out: Path) -> Iterator[Path]:
    """Yield a folder to write the three files in; they move to ``out`` if the block succeeds.

    The manifest moves last: a folder with a manifest is complete. An error leaves ``out`` as it was.
    """
    partial = out / ".partial"
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        yield partial
        (out / "manifest.json").unlink(missing_ok=True)
        for name in ("train.parquet", "val.parquet", "manifest.json"):
            os.replace(partial / name, out / name)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
