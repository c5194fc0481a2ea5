"""Data files that a user names (``data.train_files=...``) in place of those that a run prepares.

verl reads them minutes after the launch. Here they are looked at before anything starts: whether they are there,
whether their rows are of our schema (``permix_verl.data.schema``), and which personas stand in them.
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
from permix_verl.runs.data_files import OUR_DATASETS, count_rows, personas_in, reading, rows_of, there

KEYS = {"train": "data.train_files", "val": "data.val_files"}
LOOKED_AT = 1000
"""Rows of a file that are read whole; of the others only the persona's name. The dataset reads all of them."""
_SCHEMA = (
    "rows of verl's schema alone say nothing of personas; give each row extra_info.persona, the name of the persona "
    "whose text is its system message or no_persona, or let personas be drawn: leave {key} alone and set DATA to a "
    "file of question and answer"
)


def listed(settings: Mapping[str, str], key: str) -> list[str]:
    """The files that a key names: one, or several in Hydra's brackets.

    Raises:
        UserError: the key is not set, or its brackets do not read.
    """
    value = settings.get(key, "null")
    if value in ("null", "", "[]"):
        raise UserError(f"{key} names no file; leave it alone, and the recipe sets it")
    if not value.startswith("["):
        return [value]
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    try:
        files = OverridesParser.create().parse_override(f"{key}={value}").value()
    except HydraException as error:
        raise UserError(f"{key}={value} does not read ({str(error).splitlines()[0]}); give [FILE,FILE]") from None
    if not isinstance(files, list) or not all(isinstance(file, str) for file in files):
        raise UserError(f"{key}={value} is no list of files; give [FILE,FILE]")
    return [str(file).strip("'\"") for file in files]


def own_files(settings: Mapping[str, str], run_dir: Path) -> dict[str, list[str]]:
    """Files by split, of the splits whose files are not those that the run prepares."""
    found = {}
    for split, key in KEYS.items():
        if key in settings and settings[key] != "null":
            files = listed(settings, key)
            if [Path(file).resolve() for file in files] != [(run_dir / "data" / f"{split}.parquet").resolve()]:
                found[split] = files
    return found


def check_own_files(settings: Mapping[str, str], run_dir: Path, trainer: str) -> dict[str, Counter[str]]:
    """Look at the files that a user named, if there are any.

    Args:
        run_dir: whose ``data`` (or ``data.new``) says what the recipe was asked for.
        trainer: "grpo" or "sft".

    Returns:
        Rows by persona, for each split that has files of its own; empty with a dataset class of the user's own.

    Raises:
        UserError: a file that is missing, empty or of another kind; rows without the fields; several files where there
            may be one; personas where none are to be trained on, and the reverse.
    """
    own = own_files(settings, run_dir)
    if settings.get("data.custom_cls.name", OUR_DATASETS[0]) not in OUR_DATASETS:
        return {}
    if trainer == "sft":
        for split, files in own.items():
            _check_supervised(files, split)
        return {}
    personas = {split: personas_of(files, KEYS[split]) for split, files in own.items()}
    if "train" in personas:
        _check_arm(personas["train"], own["train"], _manifest(run_dir))
    return personas


def personas_of(files: Sequence[str], key: str) -> Counter[str]:
    """How many rows of the files each persona has, ``no_persona`` among them.

    Raises:
        UserError: as :func:`check_own_files`.
    """
    personas: Counter[str] = Counter()
    for file in files:
        path = there(file)
        for number, row in enumerate(islice(rows_of(path), LOOKED_AT)):
            _check_row(row, f"{key}: {file}, row {number}", key)
        before = personas.total()
        personas.update(personas_in(path))
        if personas.total() == before:
            raise UserError(f"{key}: {file} holds no row; give a file that has some")
        if None in personas or "" in personas:
            raise UserError(f"{key}: {file}: 'extra_info.persona' is missing in some rows; {_SCHEMA.format(key=key)}")
    return personas


def described(
    settings: Mapping[str, str], run_dir: Path, data: Path, personas: Mapping[str, Counter[str]]
) -> dict[str, Any]:
    """What a run remembers of files that a user named; empty where there are none.

    Args:
        data: folder of the prepared files.
        personas: what :func:`check_own_files` found.

    Returns:
        For both splits "files", hashes of the user's own, and "personas", names in the rows (of prepared training rows
        in any epoch), or ``None`` where they are not known.
    """
    own = own_files(settings, run_dir)
    found: dict[str, Any] = {}
    for split in KEYS if own else ():
        hashes = {file: file_sha256(there(file))[:16] for file in own.get(split, ())}
        names = personas.get(split) if split in own else _prepared(data / f"{split}.parquet")
        found[split] = {"files": hashes, "personas": None if names is None else sorted(names)}
    return found


def _prepared(file: Path) -> Collection[str] | None:
    if not file.is_file():
        return None
    draw = read_draw(str(file))
    if draw is None:
        return set(personas_in(file))
    return draw.train_pool.keys if draw.no_persona_probability < 1 else (NO_PERSONA,)


def _check_row(row: Any, where: str, key: str) -> None:
    if not isinstance(row, Mapping):
        raise UserError(f"{where} is no object but {type(row).__name__}; give rows of verl's schema")
    missing = [name for name in ("data_source", "prompt", "reward_model") if name not in row]
    if missing:
        raise UserError(
            f"{where} has no {missing[0]!r}, but {', '.join(map(repr, list(row)[:8]))}: these are not rows of verl's "
            f"schema; problems as question and answer go to DATA, and {key} is left alone"
        )
    if not (row.get("extra_info") or {}).get("persona"):
        raise UserError(f"{where}: 'extra_info.persona' is missing: {_SCHEMA.format(key=key)}")
    persona_text(row, where)


def _check_arm(personas: Counter[str], files: Sequence[str], manifest: Mapping[str, Any]) -> None:
    """The rows must be of the arm that the recipe stands for, as the data that it prepared says."""
    named = {name for name in personas if name != NO_PERSONA}
    where = f"data.train_files={','.join(files)}"
    probability = manifest.get("no_persona_probability")
    if not named and probability is not None and probability < 1:
        raise UserError(
            f"{where}: none of the {personas.total()} rows has a persona, and this recipe trains under personas; give "
            "rows with some, or train without: bash recipes/run_rlvr_grpo.sh"
        )
    if named and probability == 1:
        raise UserError(
            f"{where}: {personas.total() - personas[NO_PERSONA]} of {personas.total()} rows have a persona, and this "
            "recipe trains without any; give rows without, or train under personas: bash recipes/run_permix_grpo.sh"
        )
    leaked = sorted(named & set(manifest.get("dev_personas", ())))
    if leaked:
        raise UserError(
            f"{where}: its rows have {', '.join(leaked)}, held out of training by DEV_PERSONAS; remove these rows, or "
            "name other personas"
        )


def _check_supervised(files: Sequence[str], split: str) -> None:
    import pyarrow.parquet as pq

    key = KEYS[split]
    remedy = "write it with data_prep/gsm8k_sft.py"
    if len(files) != 1:
        raise UserError(f"{key} names {len(files)} files, and supervised data are one; name one")
    path = there(files[0])
    if path.suffix != ".parquet":
        raise UserError(f"{key}: {path} is no parquet file; {remedy}")
    with reading(path):
        schema = pq.read_schema(path)
    lacking = [name for name in ("messages", "extra_info") if name not in schema.names]
    if lacking:
        raise UserError(f"{key}: {path} has no column {lacking[0]!r}, but {schema.names}; {remedy}")
    held_out = (schema.metadata or {}).get(SPLIT_METADATA.encode()) == HELD_OUT.encode()
    if not held_out and read_draw(str(path)) is None:
        raise UserError(f"{key}: {path} does not say how its personas were drawn; {remedy}")
    if count_rows(files[0]) == 0:
        raise UserError(f"{key}: {path} holds no row; {remedy}")


def _manifest(run_dir: Path) -> dict[str, Any]:
    for folder in ("data.new", "data"):
        file = run_dir / folder / "manifest.json"
        if file.is_file():
            return dict(json.loads(file.read_text(encoding="utf-8")))
    return {}
