"""Checks of data files that a user names (``data.train_files=...``) instead of those that a run prepares.

verl reads them minutes after the launch. Here they are checked before it: that they exist, that their rows follow the
schema (``permix_verl.data.schema``), and which personas they contain.
"""

import json
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from permix_verl.data.dataset_folder import file_sha256
from permix_verl.data.schema import HELD_OUT, SPLIT_METADATA, persona_text, read_draw
from permix_verl.errors import UserError
from permix_verl.personas.pool import NO_PERSONA
from permix_verl.runs.data_files import (
    OUR_DATASETS,
    convert_pyarrow_errors,
    count_rows,
    data_file_path,
    iter_personas,
    iter_rows,
)

KEYS = {"train": "data.train_files", "val": "data.val_files"}
CHECKED_ROWS = 1000
"""Rows of a file that are checked in full; of the others only the persona is read. The dataset checks all."""
_PERSONA_REMEDY = (
    "give each row extra_info.persona, the key of the persona whose text is its "
    "system message or no_persona, or leave {key} unset and set DATA to a file of question and answer, so that "
    "personas are drawn"
)


def list_data_files(settings: Mapping[str, Any], key: str) -> list[str]:
    """Return the files that a key names: one, or a list.

    Raises:
        UserError: the key is not set, or is not a valid list.
    """
    value = settings.get(key)
    if not value:
        raise UserError(f"{key} names no file", "leave it unset, and the recipe sets it")
    files = value if isinstance(value, list) else [value]
    if not all(isinstance(file, str) for file in files):
        raise UserError(f"{key}={value} is not a list of files", "give [FILE,FILE]")
    return files


def find_own_files(settings: Mapping[str, Any], run_dir: Path) -> dict[str, list[str]]:
    """Return split -> files, for the splits whose files are not those that the run prepares."""
    own = {}
    for split, key in KEYS.items():
        if settings.get(key) is not None:
            files = list_data_files(settings, key)
            if [Path(file).resolve() for file in files] != [(run_dir / "data" / f"{split}.parquet").resolve()]:
                own[split] = files
    return own


def check_own_files(settings: Mapping[str, Any], run_dir: Path, trainer: str) -> dict[str, Counter[str]]:
    """Check the files that a user named, if any.

    Args:
        run_dir: run folder; the manifest in its ``data.new`` or ``data`` gives the recipe's condition.
        trainer: "grpo" or "sft".

    Returns:
        Split -> persona -> rows, for each split with the user's own files; empty for a custom dataset class.

    Raises:
        UserError: a file that is missing, empty or of another format; rows without the fields; several files where only
            one is possible; personas in a run without personas, or the reverse.
    """
    own = find_own_files(settings, run_dir)
    if settings.get("data.custom_cls.name", OUR_DATASETS[0]) not in OUR_DATASETS:
        return {}
    if trainer == "sft":
        for split, files in own.items():
            _check_supervised(files, split)
        return {}
    personas = {split: count_personas(files, KEYS[split]) for split, files in own.items()}
    if "train" in personas:
        _check_condition(personas["train"], own["train"], _manifest(run_dir))
    return personas


def count_personas(files: Sequence[str], key: str) -> Counter[str]:
    """Count the rows of each persona, including ``no_persona``.

    Raises:
        UserError: as in :func:`check_own_files`.
    """
    personas: Counter[str] = Counter()
    for file in files:
        path = data_file_path(file)
        for number, row in enumerate(islice(iter_rows(path), CHECKED_ROWS)):
            _check_row(row, f"{key}: {file}, row {number}", key)
        before = personas.total()
        personas.update(iter_personas(path))
        if personas.total() == before:
            raise UserError(f"{key}: {file} has no rows", "give a file with rows")
        if None in personas or "" in personas:
            raise UserError(
                f"{key}: {file}: 'extra_info.persona' is missing in some rows", _PERSONA_REMEDY.format(key=key)
            )
    return personas


def own_files_record(
    settings: Mapping[str, Any], run_dir: Path, data: Path, personas: Mapping[str, Counter[str]]
) -> dict[str, Any]:
    """Return the record of the user's own files for ``run.json``; empty if there are none.

    Args:
        data: folder of the prepared files.
        personas: from :func:`check_own_files`.

    Returns:
        For both splits "files", file -> hash of the user's own, and "personas", the keys in the rows (for prepared
        training rows, of any epoch), or ``None`` if unknown.
    """
    own = find_own_files(settings, run_dir)
    record: dict[str, Any] = {}
    for split in KEYS if own else ():
        hashes = {file: file_sha256(data_file_path(file))[:16] for file in own.get(split, ())}
        names = personas.get(split) if split in own else _prepared_personas(data / f"{split}.parquet")
        record[split] = {"files": hashes, "personas": None if names is None else sorted(names)}
    return record


def _prepared_personas(file: Path) -> Collection[str] | None:
    if not file.is_file():
        return None
    draw = read_draw(str(file))
    if draw is None:
        return set(iter_personas(file))
    return draw.train_pool.keys if draw.no_persona_probability < 1 else (NO_PERSONA,)


def _check_row(row: Any, where: str, key: str) -> None:
    if not isinstance(row, Mapping):
        raise UserError(f"{where} is {type(row).__name__}, not an object", "give rows in verl's schema")
    missing = [name for name in ("data_source", "prompt", "reward_model") if name not in row]
    if missing:
        raise UserError(
            f"{where} has no {missing[0]!r}, but {', '.join(map(repr, list(row)[:8]))}: these rows do not follow "
            "verl's schema",
            f"give problems with question and answer as DATA, and leave {key} unset",
        )
    if not (row.get("extra_info") or {}).get("persona"):
        problem = f"{where}: 'extra_info.persona' is missing, and verl's schema alone has no personas"
        raise UserError(problem, _PERSONA_REMEDY.format(key=key))
    persona_text(row, where)


def _check_condition(personas: Counter[str], files: Sequence[str], manifest: Mapping[str, Any]) -> None:
    """Check that the rows follow the recipe's condition, which the manifest of its prepared data gives."""
    named = {name for name in personas if name != NO_PERSONA}
    where = f"data.train_files={','.join(files)}"
    probability = manifest.get("no_persona_probability")
    if not named and probability is not None and probability < 1:
        raise UserError(
            f"{where}: none of the {personas.total()} rows has a persona, but this recipe trains with personas",
            "give rows with personas, or train without: bash recipes/run_rlvr_grpo.sh",
        )
    if named and probability == 1:
        raise UserError(
            f"{where}: {personas.total() - personas[NO_PERSONA]} of {personas.total()} rows have a persona, but this "
            "recipe trains without personas",
            "give rows without, or train with personas: bash recipes/run_permix_grpo.sh",
        )
    leaked = sorted(named & set(manifest.get("dev_personas", ())))
    if leaked:
        raise UserError(
            f"{where}: its rows have {', '.join(leaked)}, held out of training by DEV_PERSONAS",
            "remove these rows, or hold out other personas",
        )


def _check_supervised(files: Sequence[str], split: str) -> None:
    import pyarrow.parquet as pq

    key = KEYS[split]
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


def _manifest(run_dir: Path) -> dict[str, Any]:
    for folder in ("data.new", "data"):
        file = run_dir / folder / "manifest.json"
        if file.is_file():
            return dict(json.loads(file.read_text(encoding="utf-8")))
    return {}
