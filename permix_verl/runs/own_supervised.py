"""Checks of supervised data files that a user names instead of those that a run prepares."""

from collections.abc import Sequence

from permix_verl.data.schema import HELD_OUT, SPLIT_METADATA, read_draw
from permix_verl.errors import UserError
from permix_verl.runs.data_files import convert_pyarrow_errors, count_rows, data_file_path


def check_supervised_files(files: Sequence[str], key: str) -> None:
    """Check files of supervised rows.

    Args:
        key: key that names them.

    Raises:
        UserError: several files, another format, no ``messages``, no persona draw, or no rows.
    """
    import pyarrow.parquet as pq

    remedy = "write it with data_prep/gsm8k_sft.py"
    if len(files) != 1:
        raise UserError(f"{key} names {len(files)} files, but SFT takes one", "name one")
    path = data_file_path(files[0])
    if path.suffix != ".parquet":
        raise UserError(f"{key}: {path} is not a parquet file", remedy)
    with convert_pyarrow_errors(path):
        schema = pq.read_schema(path)
    missing = [name for name in ("messages", "extra_info") if name not in schema.names]
    if missing:
        raise UserError(f"{key}: {path} has no column {missing[0]!r}, but {schema.names}", remedy)
    held_out = (schema.metadata or {}).get(SPLIT_METADATA.encode()) == HELD_OUT.encode()
    if not held_out and read_draw(str(path)) is None:
        raise UserError(f"{key}: {path} has no persona draw in the metadata", remedy)
    if count_rows(files[0]) == 0:
        raise UserError(f"{key}: {path} has no rows", remedy)
