"""Read data files as verl's dataset does: parquet, JSON Lines, or one JSON list."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from permix_verl.data.problems import jsonl_records
from permix_verl.errors import UserError, first_line

OUR_DATASETS = ("PersonaMixDataset", "SupervisedDataset")
"""Values of ``data.custom_cls.name`` for this project's datasets."""
SUFFIXES = (".parquet", ".jsonl", ".json")
"""File suffixes that verl's dataset reads."""


def count_rows(file: str) -> int:
    """Count the rows of a data file.

    Raises:
        UserError: the file cannot be read, or has another format.
    """
    path = data_file_path(file)
    if path.suffix != ".parquet":
        return sum(1 for _ in iter_rows(path))
    import pyarrow.parquet as pq

    with convert_pyarrow_errors(path):
        rows: int = pq.read_metadata(path).num_rows
    return rows


def data_file_path(file: str) -> Path:
    """Return a data file's path.

    Raises:
        UserError: no such file, a folder, or a suffix that verl does not read.
    """
    path = Path(file).expanduser()
    if path.is_dir():
        inside = sorted(entry.name for entry in path.iterdir() if entry.suffix in SUFFIXES)
        raise UserError(f"{file} is a folder", f"name its files: [{','.join(f'{file}/{name}' for name in inside[:3])}]")
    if not path.is_file():
        raise UserError(f"no such data file: {file}", "give the path of a file on this machine")
    if path.suffix not in SUFFIXES:
        raise UserError(f"{file} has the suffix {path.suffix!r}, but verl reads {', '.join(SUFFIXES)}", "convert it")
    return path


@contextlib.contextmanager
def convert_pyarrow_errors(path: Path) -> Iterator[None]:
    """Convert pyarrow's errors inside the block into an error that names the file.

    Raises:
        UserError: pyarrow cannot read the file.
    """
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"{path} is not a parquet file ({first_line(error)[:120]})", "write it again") from None


def iter_rows(path: Path) -> Iterator[Any]:
    """Stream the rows of a file, in order.

    Raises:
        UserError: the file cannot be read.
    """
    if path.suffix != ".parquet":
        yield from _json_rows(path)
        return
    import pyarrow.parquet as pq

    with convert_pyarrow_errors(path):
        file = pq.ParquetFile(path)
        for batch in file.iter_batches(batch_size=1024):
            yield from batch.to_pylist()


def _json_rows(path: Path) -> Iterator[Any]:
    with path.open("rb") as file:
        first = file.read(1)
    if first == b"[":
        try:
            yield from json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise UserError(f"{path} is not JSON ({error})", "write it again") from None
    else:
        yield from (record for _, record in jsonl_records(path))


def iter_personas(path: Path) -> Iterator[Any]:
    """Stream ``extra_info.persona`` of every row; ``None`` if it is missing."""
    if path.suffix != ".parquet":
        yield from ((row.get("extra_info") or {}).get("persona") for row in _json_rows(path))
        return
    import pyarrow.parquet as pq

    with convert_pyarrow_errors(path):
        file = pq.ParquetFile(path)
        if not any(column.path == "extra_info.persona" for column in map(file.schema.column, range(len(file.schema)))):
            yield from (None for _ in range(file.metadata.num_rows))
            return
        for batch in file.iter_batches(batch_size=1 << 16, columns=["extra_info.persona"]):
            yield from (info["persona"] if info else None for info in batch.column(0).to_pylist())
