"""The folder of a prepared data set: ``train.parquet``, ``val.parquet`` and ``manifest.json``, written atomically.

Beside them may stand :data:`OPTIONAL_FILES`.
"""

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from permix_verl.personas.pool_arrow import POOL_FILE

OPTIONAL_FILES = ("dropped.jsonl", POOL_FILE)
"""Files that not every data set has: the rows left out for their golds, the personas of a large pool."""


@contextlib.contextmanager
def atomic_dataset_dir(out: Path) -> Iterator[Path]:
    """Yield a folder to write the files in; they move to ``out`` if the block succeeds, and replace all earlier ones.

    The manifest moves last: a folder with a manifest is complete. An error leaves ``out`` as it was.
    """
    partial = out / ".partial"
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        yield partial
        (out / "manifest.json").unlink(missing_ok=True)
        for name in OPTIONAL_FILES:
            (out / name).unlink(missing_ok=True)
            if (partial / name).exists():
                os.replace(partial / name, out / name)
        for name in ("train.parquet", "val.parquet", "manifest.json"):
            os.replace(partial / name, out / name)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
