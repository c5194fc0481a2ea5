"""Training files of a user's own that get their personas as they load (``data.permix``): checked before the launch."""

import functools
import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from permix_verl.data.mix_settings import NODE, MixSettings, read_mix_settings
from permix_verl.data.mixed_file import refuse_mixed
from permix_verl.data.parquet_files import batches, open_parquet
from permix_verl.data.plain_rows import Row, RowScan, repeats_note
from permix_verl.errors import UserError
from permix_verl.personas.pool import NO_PERSONA
from permix_verl.runs.data_files import data_file_path, iter_rows

PROMPT_KEY = "data.prompt_key"
MIX_POOL_KEY = f"data.{NODE}.pool"


def mix_of(settings: Mapping[str, Any]) -> MixSettings | None:
    """Return the settings of mixing at load time in a configuration; ``None`` without any.

    Raises:
        UserError: see :func:`permix_verl.data.mix_settings.read_mix_settings`.
    """
    return read_mix_settings({NODE: settings.get(f"data.{NODE}")})


def lacks_personas(file: str) -> bool:
    """Return whether the first row of a data file has no ``extra_info.persona``.

    Raises:
        UserError: the file cannot be read.
    """
    path = data_file_path(file)
    if path.suffix == ".parquet":
        parquet = open_parquet(path)
        if "extra_info" not in parquet.schema_arrow.names:
            return parquet.metadata.num_rows > 0
        batch = next(parquet.iter_batches(batch_size=1, columns=["extra_info"]), None)
        first = batch.to_pylist()[0] if batch else None
    else:
        first = next(iter_rows(path), None)
    if not isinstance(first, Mapping):
        return False
    info = first.get("extra_info")
    return not (isinstance(info, Mapping) and info.get("persona"))


def check_mix_has_files(own: Mapping[str, Sequence[str]]) -> None:
    """Check that a mix at load time has training files of the user's own, and that validation has others.

    Args:
        own: split -> files that the user named.

    Raises:
        UserError: it has not.
    """
    if "train" not in own:
        raise UserError(
            "data.permix is set, but the training rows are those that the run prepares, which have personas",
            "leave it out, or name files of rows without personas in data.train_files",
        )
    if own.get("val") == own["train"]:
        raise UserError(
            "data.val_files are the training files, and their personas change from epoch to epoch",
            "hold rows out, and write them with permix mix --every-persona",
        )


def check_plain_files(files: Sequence[str], mix: MixSettings, key: str) -> tuple[int, str]:
    """Check files whose rows are to get personas; again is cheap, as long as the files stay as they are.

    Args:
        key: name of the chat column.

    Returns:
        Number of rows, and a sentence on rows that repeat others.

    Raises:
        UserError: a file that cannot be read or has personas already; rows that do not follow verl's schema or have
            system messages that the policy refuses; one row id for two problems.
    """
    stats = [data_file_path(file).stat() for file in files]
    return _checked(tuple(files), tuple((stat.st_size, stat.st_mtime_ns) for stat in stats), mix, key)


@functools.lru_cache(maxsize=4)
def _checked(files: tuple[str, ...], _: tuple[tuple[int, int], ...], mix: MixSettings, key: str) -> tuple[int, str]:
    refuse_mixed(files)
    scan = RowScan(mix.id_field, mix.system_message == "refuse" and mix.mixes, key)
    for file in files:
        before = scan.rows
        for number, row in enumerate(_rows(file, mix, key)):
            scan.add(row, f"data.train_files: {file}, row {number}")
        if scan.rows == before:
            raise UserError(f"data.train_files: {file} has no rows", "give a file with rows")
    return scan.rows, repeats_note(scan.ranks(lambda position: _fetch(files, mix, key, position)))


def _rows(file: str, mix: MixSettings, key: str) -> Iterator[Row]:
    path = data_file_path(file)
    if path.suffix != ".parquet":
        yield from iter_rows(path)
        return
    parquet = open_parquet(path)
    field = mix.id_field or ""
    wanted = {"data_source", key, "reward_model", "extra_info", field, field.partition(".")[0]}
    names = [name for name in parquet.schema_arrow.names if name in wanted]
    for batch in batches(parquet, f"checking {Path(file).name}", columns=names):
        yield from batch.to_pylist()


def _fetch(files: Sequence[str], mix: MixSettings, key: str, position: int) -> tuple[str, Row]:
    for file in files:
        for number, row in enumerate(_rows(file, mix, key)):
            if position == 0:
                return f"{file}, row {number}", row
            position -= 1
    raise IndexError(position)


def first_chats(files: Sequence[str], mix: MixSettings, key: str, count: int) -> list[Any]:
    """Return the prompts of the first rows of files, up to ``count``."""
    rows = (row for file in files for row in _rows(file, mix, key))
    return [row[key] for row in itertools.islice(rows, count)]


def mix_record(mix: MixSettings) -> dict[str, Any]:
    """Return what ``run.json`` has of a mix beside its settings, which are keys: the pool by its content."""
    pool = mix.draw().pool
    return {"pool": pool.name, "pool_sha256": pool.sha256(), "pool_size": len(pool)}


def described_pool(own_files: Mapping[str, Any]) -> str | None:
    """Return a mix's pool from the record of a run's own files, by its content; ``None`` without a mix."""
    mix = own_files.get("train", {}).get("mix")
    return f"{mix['pool_size']} personas of SHA-256 {mix['pool_sha256'][:16]}" if mix else None


def mixed_personas(mix: MixSettings) -> Sequence[str]:
    """Return the keys of the personas that rows may get, or that of none."""
    return mix.draw().train_pool.keys if mix.mixes else (NO_PERSONA,)
