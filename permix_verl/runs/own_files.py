"""Checks of data files that a user names (``data.train_files=...``) instead of those that a run prepares.

verl reads them minutes after the launch. Here they are checked before it: that they exist, that their rows follow the
schema (``permix_verl.data.schema``), and which personas they contain, or get as they load.
"""

import json
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from permix_verl.data.plain_rows import check_row
from permix_verl.data.schema import persona_text, read_draw
from permix_verl.errors import UserError
from permix_verl.personas.mixing import development_personas
from permix_verl.personas.pool import LARGE_POOL, NO_PERSONA, load_pool
from permix_verl.runs.data_files import (
    OUR_DATASETS,
    count_rows,
    data_file_path,
    iter_personas,
    iter_rows,
)
from permix_verl.runs.own_mix import (
    PROMPT_KEY,
    check_mix_has_files,
    check_plain_files,
    lacks_personas,
    mix_of,
    mix_record,
)
from permix_verl.runs.own_rows import OwnRows
from permix_verl.runs.own_supervised import check_supervised_files
from permix_verl.utils.files import file_sha256

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


def check_own_files(settings: Mapping[str, Any], run_dir: Path, trainer: str) -> dict[str, OwnRows]:
    """Check the files that a user named, if any.

    Args:
        run_dir: run folder; the manifest in its ``data.new`` or ``data`` gives the recipe's condition.
        trainer: "grpo" or "sft".

    Returns:
        Split -> rows, for each split with the user's own files; empty for a custom dataset class.

    Raises:
        UserError: a file that is missing, empty or of another format; rows without the fields; several files where only
            one is possible; personas in a run without personas, or the reverse.
    """
    own = find_own_files(settings, run_dir)
    if settings.get("data.custom_cls.name", OUR_DATASETS[0]) not in OUR_DATASETS:
        return {}
    if trainer == "sft":
        for split, files in own.items():
            check_supervised_files(files, KEYS[split])
        return {}
    if mix_of(settings):
        check_mix_has_files(own)
    rows = {split: _check_split(settings, split, files) for split, files in own.items()}
    if "train" in rows and not rows["train"].mix:
        _check_condition(rows["train"].personas, own["train"], _manifest(run_dir) or _condition(settings))
    return rows


def _check_split(settings: Mapping[str, Any], split: str, files: Sequence[str]) -> OwnRows:
    mix, key = mix_of(settings), settings.get(PROMPT_KEY) or "prompt"
    if split == "train" and mix:
        rows, note = check_plain_files(files, mix, key)
        return OwnRows(rows, mix=mix, note=note)
    if split == "val" and all(lacks_personas(file) for file in files):
        return OwnRows(sum(_check_as_they_are(file, key) for file in files))
    personas = count_personas(files, KEYS[split])
    return OwnRows(personas.total(), personas)


def _check_as_they_are(file: str, key: str) -> int:
    """Check validation rows without personas, and return their number."""
    path = data_file_path(file)
    for number, row in enumerate(islice(iter_rows(path), CHECKED_ROWS)):
        check_row(row, f"data.val_files: {file}, row {number}", key)
    if any(iter_personas(path)):
        raise UserError(
            f"data.val_files: {file}: 'extra_info.persona' is missing in some rows",
            _PERSONA_REMEDY.format(key=KEYS["val"]),
        )
    return count_rows(file)


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
    settings: Mapping[str, Any], run_dir: Path, data: Path, rows: Mapping[str, OwnRows]
) -> dict[str, Any]:
    """Return the record of the user's own files for ``run.json``; empty if there are none.

    Args:
        data: folder of the prepared files.
        rows: from :func:`check_own_files`.

    Returns:
        For both splits "files", file -> hash of the user's own, and "personas", the keys in the rows (for prepared
        training rows and rows that are mixed as they load, of any epoch; of a large pool those that the validation has,
        and one), or ``None`` if unknown; "mix" of rows that are mixed.
    """
    own = find_own_files(settings, run_dir)
    if not own:
        return {}
    names: dict[str, Collection[str] | None] = {}
    record: dict[str, Any] = {}
    for split in KEYS:
        mine = rows.get(split)
        prepared = _prepared_personas(data / f"{split}.parquet") if split not in own else None
        names[split] = mine.keys() if mine else prepared
        hashes = {file: file_sha256(data_file_path(file))[:16] for file in own.get(split, ())}
        record[split] = {"files": hashes} | ({"mix": mix_record(mine.mix)} if mine and mine.mix else {})
    trained = names["train"]
    if trained and len(trained) > LARGE_POOL:
        names["train"] = {min(trained), *(set(trained) & set(names["val"] or ()))}
    for split, keys in names.items():
        record[split]["personas"] = None if keys is None else sorted(keys)
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


def _condition(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a manifest would say of the recipe's condition; empty for a configuration without one."""
    if settings.get("permix.no_persona") is None:
        return {}
    pool, seed = load_pool(settings["permix.personas"]), settings["permix.seed"]
    probability = 1.0 if settings["permix.no_persona"] else settings["permix.no_persona_probability"]
    held_out = development_personas(pool, str(settings["permix.dev_personas"]), seed)
    return {"no_persona_probability": probability, "dev_personas": list(held_out)}


def _manifest(run_dir: Path) -> dict[str, Any]:
    for folder in ("data.new", "data"):
        file = run_dir / folder / "manifest.json"
        if file.is_file():
            return dict(json.loads(file.read_text(encoding="utf-8")))
    return {}
