"""Records of problem files and of data sets on the hub, as streams."""

import csv
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from permix_verl.errors import UserError, first_line

HUB_NAME = "openai/gsm8k"
SUFFIXES = (".jsonl", ".json", ".parquet", ".csv")
"""Suffixes of problem files."""

Located = tuple[str, Any]
"""Place of a record, such as ``train.jsonl, line 3``, and the record."""

_BATCH = 1024


def resolve_files(source: str, split: str, configs: Sequence[str] = ()) -> list[Path] | None:
    """Return the local files of a source, or ``None`` if it is a hub name.

    Args:
        source: a file; a folder with ``SPLIT.jsonl``, ``SPLIT.parquet``, ``SPLIT-*.parquet``, ``SPLIT.json`` or
            ``SPLIT.csv`` in itself, in ``main``, ``default`` or ``data``, or else in the folders of ``configs``; or a
            hub name.
        configs: names of the data set's parts; all that are there are read.

    Raises:
        UserError: a path that does not exist, another suffix, or a folder without the split.
    """
    path = Path(source).expanduser()
    if path.is_file():
        if path.suffix not in SUFFIXES:
            raise UserError(f"cannot read {path}: unknown suffix {path.suffix!r}", f"give one of {', '.join(SUFFIXES)}")
        return [path]
    if path.is_dir():
        parts = [file for config in configs for file in _split_files(path / config, split)]
        for folder in () if parts else (path, path / "main", path / "default", path / "data"):
            if files := _split_files(folder, split):
                return files
        if parts:
            return parts
        raise UserError(f"folder {path} has no {split}.jsonl, {split}.parquet or {split}-*.parquet", "name the file")
    looks_like_path = source.startswith((".", "/", "~")) or path.suffix in SUFFIXES
    if looks_like_path or source.count("/") != 1:
        raise UserError(f"no such file or folder: {source!r}", f"give a path, or a hub name such as {HUB_NAME}")
    return None


def _split_files(folder: Path, split: str) -> list[Path]:
    for pattern in (f"{split}.jsonl", f"{split}.parquet", f"{split}-*.parquet", f"{split}.json", f"{split}.csv"):
        if files := sorted(folder.glob(pattern)):
            return files
    return []


def file_records(file: Path, columns: Sequence[str] | None = None) -> Iterator[Located]:
    """Stream the records of a file, in order.

    Args:
        columns: columns that are read, of a parquet file; others may be large.

    Raises:
        UserError: a file that is not of its suffix's format.
    """
    if file.suffix == ".jsonl":
        yield from ((f"{file}, line {number}", record) for number, record in jsonl_records(file))
    elif file.suffix == ".json" and _is_list(file):
        yield from _json_records(file)
    elif file.suffix == ".json":  # JSON Lines under the other name
        yield from ((f"{file}, line {number}", record) for number, record in jsonl_records(file))
    elif file.suffix == ".csv":
        yield from _csv_records(file)
    else:
        yield from _parquet_records(file, columns)


def jsonl_records(file: Path) -> Iterator[tuple[int, Any]]:
    """Stream (line number from 1, value) of a JSON Lines file; skip empty lines.

    Raises:
        UserError: a line that is not JSON.
    """
    with file.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                record = json.loads(line.decode("utf-8"))
            except (ValueError, RecursionError) as error:  # bad encoding, bad JSON, a number with too many digits
                raise UserError(f"{file}, line {number}: not JSON ({error})", "repair or remove the line") from None
            yield number, record


def _is_list(file: Path) -> bool:
    with file.open("rb") as text:
        return text.read(_BATCH).lstrip()[:1] == b"["


def _json_records(file: Path) -> Iterator[Located]:
    try:
        records = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{file} is not JSON ({error})", "repair it, or write one object per line") from None
    yield from ((f"{file}, row {number}", record) for number, record in enumerate(records, start=1))


def _csv_records(file: Path) -> Iterator[Located]:
    csv.field_size_limit(sys.maxsize)
    try:
        with file.open(encoding="utf-8-sig", newline="") as text:
            reader = csv.DictReader(text, strict=True)
            for number, record in enumerate(reader, start=1):
                where = f"{file}, row {number}"
                if None in record or None in record.values():
                    raise UserError(
                        f"{where} has more or fewer fields than the first line names ({len(reader.fieldnames or ())})",
                        "quote fields that contain a comma or a line break",
                    )
                yield where, record
    except (csv.Error, UnicodeDecodeError) as error:
        raise UserError(f"{file} is not CSV in UTF-8 ({error})", "write it again") from None


def _parquet_records(file: Path, columns: Sequence[str] | None) -> Iterator[Located]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    number = 0
    try:
        parquet = pq.ParquetFile(file)
        known = None if columns is None else [name for name in columns if name in parquet.schema_arrow.names]
        for batch in parquet.iter_batches(batch_size=_BATCH, columns=known):
            for record in batch.to_pylist():
                number += 1
                yield f"{file}, row {number}", record
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"{file} is not a parquet file ({first_line(error)})", "write it again") from None


def first_record(file: Path) -> Located | None:
    """Return the first record of a file with all its fields; ``None`` without one.

    Raises:
        UserError: as :func:`file_records`.
    """
    return next(file_records(file), None)


def count_records(file: Path) -> int:
    """Count the records of a file.

    Raises:
        UserError: as :func:`file_records`.
    """
    if file.suffix == ".jsonl" or (file.suffix == ".json" and not _is_list(file)):
        with file.open("rb") as lines:
            return sum(1 for line in lines if line.strip())
    if file.suffix != ".parquet":
        return sum(1 for _ in file_records(file))
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        rows: int = pq.read_metadata(file).num_rows
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"{file} is not a parquet file ({first_line(error)})", "write it again") from None
    return rows


def count_different(files: Sequence[Path], field: str) -> int:
    """Count the different values of a column of parquet files, with dots into structs.

    Raises:
        UserError: a file that is not parquet.
    """
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    try:
        chunks = []
        for file in files:
            column = pq.read_table(file, columns=[field]).column(0)
            inside = field.split(".")[1:] if pa.types.is_struct(column.type) else []
            values = pc.struct_field(column, inside) if inside else column
            chunks += [chunk.cast(pa.string()) for chunk in values.chunks]
        return int(pc.count_distinct(pa.chunked_array(chunks, pa.string())).as_py())
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"{files[0]} is not a parquet file ({first_line(error)})", "write it again") from None


def hub_dataset(name: str, config: str | None, split: str) -> Any:
    """Load a split of a data set on the hub, or in its local cache.

    Raises:
        UserError: it cannot be loaded.
    """
    import datasets

    try:
        return datasets.load_dataset(name, config, split=split)
    except Exception as error:  # the hub client raises a dozen types, all meaning that the data cannot be loaded
        part = f", config {config!r}" if config else ""
        raise UserError(
            f"cannot load {name!r}{part}, split {split!r}, from the hub ({first_line(error)})",
            "check the name and the network, or give the path of a local .jsonl or .parquet file",
        ) from error


def hub_records(name: str, config: str | None, split: str, columns: Sequence[str] | None = None) -> Iterator[Located]:
    """Stream the records of a data set on the hub; of ``columns`` only, if they are given.

    Raises:
        UserError: as :func:`hub_dataset`.
    """
    dataset = hub_dataset(name, config, split)
    if columns is not None:
        dataset = dataset.select_columns([column for column in columns if column in dataset.column_names])
    part = f" {config}," if config and config not in ("main", "default") else ""
    for number, record in enumerate(dataset, start=1):
        yield f"{name},{part} {split} row {number}", record
