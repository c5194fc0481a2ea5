"""Parquet files read in batches of bounded size, and several written files that appear together."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from permix_verl.errors import UserError, first_line

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

_BATCH_ROWS = 4096
_BATCH_BYTES = 32 * 2**20
"""Rows and bytes of a batch, at most; bytes by the average of its row group."""
_PAGE_BUFFER = 2**20
"""Bytes of a column that are read at a time; without it a whole row group's column is in memory."""


def open_parquet(path: Path) -> "pq.ParquetFile":
    """Open a parquet file.

    Raises:
        UserError: no such file, or another format.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    if path.suffix != ".parquet":
        raise UserError(
            f"{path} is not a parquet file",
            "convert it, or mix at load time: data.train_files and data.permix.pool take .jsonl and .json too",
        )
    if not path.is_file():
        raise UserError(f"no such file: {path}", "give the path of a parquet file")
    try:
        return pq.ParquetFile(path, buffer_size=_PAGE_BUFFER, pre_buffer=False)
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"{path} is not a parquet file ({first_line(error)[:120]})", "write it again") from None


def batches(
    file: "pq.ParquetFile", label: str, share: int = 1, columns: Sequence[str] | None = None
) -> Iterator["pa.RecordBatch"]:
    """Stream a file's rows, with a progress bar.

    Args:
        label: text of the bar.
        share: rows that are made of each; a batch is that much smaller.
        columns: columns to read; default: all.
    """
    total = file.metadata.num_rows
    with tqdm(desc=label, total=total, unit=" rows", disable=None) as bar:
        for group in range(file.metadata.num_row_groups):
            there = file.metadata.row_group(group)
            mean = max(1, there.total_byte_size // max(1, there.num_rows))
            size = max(1, min(_BATCH_ROWS, _BATCH_BYTES // mean) // share)
            for batch in file.iter_batches(batch_size=size, row_groups=[group], columns=columns):
                yield batch
                bar.update(batch.num_rows)


def compression_of(file: "pq.ParquetFile") -> str:
    """Return the compression of a file's first column, for a writer."""
    metadata = file.metadata
    if not metadata.num_row_groups or not metadata.num_columns:
        return "snappy"
    codec = str(metadata.row_group(0).column(0).compression).lower()
    return {"uncompressed": "none"}.get(codec, codec)


def plan_outputs(inputs: Sequence[Path], out: Path) -> dict[Path, Path]:
    """Return input -> output.

    Args:
        out: a folder, or a ``.parquet`` file for one input.

    Raises:
        UserError: one file for several inputs, inputs of one name, an output that is an input.
    """
    if out.suffix == ".parquet" and not out.is_dir():
        if len(inputs) > 1:
            raise UserError(f"--out {out} is one file for {len(inputs)} inputs", "give a folder")
        targets = {inputs[0]: out}
    else:
        targets = {path: out / path.name for path in inputs}
    if len({path.resolve() for path in inputs}) < len(inputs) or len(set(targets.values())) < len(inputs):
        raise UserError(f"the files {', '.join(map(str, inputs))} would share a name in {out}", "rename one of them")
    for path, target in targets.items():
        if target.resolve() == path.resolve():
            raise UserError(f"--out {target} is the input itself", "give another folder")
        if target.is_dir():
            raise UserError(f"cannot write {target}: it is a folder", "give another --out")
    return targets


@contextlib.contextmanager
def moved_together(targets: Sequence[Path]) -> Iterator[Mapping[Path, Path]]:
    """Yield target -> temporary path beside it; all are moved into place if the block succeeds.

    Raises:
        UserError: the folder cannot be written to.
    """
    folder = targets[0].parent
    made = [parent for parent in (folder, *folder.parents) if not parent.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=".partial.", dir=folder))
    except OSError as error:
        raise UserError(f"cannot write to {folder}: {error.strerror}", "give another --out") from error
    done = False
    try:
        yield {target: partial / target.name for target in targets}
        for target in targets:
            os.replace(partial / target.name, target)
        done = True
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        if not done:
            with contextlib.suppress(OSError):
                for parent in made:
                    parent.rmdir()
