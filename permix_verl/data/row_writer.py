"""Streaming writer of data rows, in chunks, so that memory does not grow with the data."""

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from tqdm import tqdm

from permix_verl.data.schema import arrow_schema
from permix_verl.personas.mixing import PersonaDraw

CHUNK = 1024
"""Rows rendered, measured and written per batch."""


def chunks(items: Iterable[Any]) -> Iterator[list[Any]]:
    """Split items into lists of up to :data:`CHUNK`."""
    iterator = iter(items)
    while chunk := list(itertools.islice(iterator, CHUNK)):
        yield chunk


def write_rows(
    path: Path, rows: Iterator[dict[str, Any]], draw: PersonaDraw | None = None, **metadata: str
) -> Counter[str]:
    """Write a parquet file; return the number of rows by persona key.

    Args:
        draw: settings of the persona draw, for the file's metadata.
        metadata: further entries of the metadata.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = arrow_schema(draw, **metadata)
    personas: Counter[str] = Counter()
    with pq.ParquetWriter(path, schema) as writer:
        for chunk in chunks(tqdm(rows, desc=f"writing {path.name}", unit=" rows", disable=None)):
            personas.update(row["extra_info"]["persona"] for row in chunk)
            writer.write_table(pa.Table.from_pylist(chunk, schema=schema))
    return personas
