"""Reading data files as verl's dataset does: parquet, JSON Lines, or one JSON list."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from permix_verl.data.problems import jsonl_records
from permix_verl.errors import UserError

OUR_DATASETS = ("PersonaMixDataset", "SupervisedDataset")
"""Values of ``data.custom_cls.name`` that are this project's datasets."""
ENDINGS = (".parquet", ".jsonl", ".json")
"""What verl's dataset reads."""


def count_rows(file: str) -> int:
    """Rows of a data file.

    Raises:
        UserError: it cannot be read, or is of another kind.
    """
    path = there(file)
    if path.suffix != ".parquet":
        return sum(1 for _ in rows_of(path))
    import pyarrow.parquet as pq

    with reading(path):
        rows: int = pq.read_metadata(path).num_rows
    return rows


def there(file: str) -> Path:
    """The file that a name stands for.

    Raises:
        UserError: nothing there, a folder, or an ending that verl does not read.
    """
    path = Path(file).expanduser()
    if path.is_dir():
        inside = sorted(one.name for one in path.iterdir() if one.suffix in ENDINGS)
        raise UserError(f"{file} is a folder; name its files: [{','.join(f'{file}/{name}' for name in inside[:3])}]")
    if not path.is_file():
        raise UserError(f"no such data file: {file}; give the path of a file on this machine")
    if path.suffix not in ENDINGS:
        raise UserError(f"{file} has the ending {path.suffix!r}, and verl reads {', '.join(ENDINGS)}; write it as one")
    return path


@contextlib.contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn what pyarrow says of a file that is none of its own into an error that names the file.

    Raises:
        UserError: pyarrow cannot read it.
    """
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"{path} is no parquet file ({str(error).splitlines()[0][:120]}); write it again") from None


def rows_of(path: Path) -> Iterator[Any]:
    """The rows of a file, whole, in order.

    Raises:
        UserError: it does not read.
    """
    if path.suffix != ".parquet":
        yield from _json_rows(path)
        return
    import pyarrow.parquet as pq

    with reading(path):
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
            raise UserError(f"{path} is not JSON ({error}); write it again") from None
    else:
        yield from (record for _, record in jsonl_records(path))


def personas_in(path: Path) -> Iterator[Any]:
    """``extra_info.persona`` of every row; ``None`` where it is missing."""
    if path.suffix != ".parquet":
        yield from ((row.get("extra_info") or {}).get("persona") for row in _json_rows(path))
        return
    import pyarrow.parquet as pq

    with reading(path):
        for batch in pq.ParquetFile(path).iter_batches(batch_size=1 << 16, columns=["extra_info.persona"]):
            yield from (info["persona"] if info else None for info in batch.column(0).to_pylist())
