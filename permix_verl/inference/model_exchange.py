"""Guard against an endpoint whose model is exchanged under the same name, so that no folder mixes rows of two models.

``served.json`` beside the rows holds what identified each endpoint's model when its first row was generated. Every call
that generates rows compares before its first request and again at its end.
"""

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from permix_verl.errors import UserError
from permix_verl.inference.engines import Engine
from permix_verl.inference.engines.openai import OpenAIEngine
from permix_verl.inference.served_model import ServedModel
from permix_verl.utils.files import write_atomic

FILE = "served.json"
RESULTS = ("samples/*.jsonl", "personagym/answers.jsonl")
"""Row files of the model under test in a results folder."""


@contextlib.contextmanager
def same_model(
    engine: Engine, folder: Path, name: str, rows: Sequence[str], *, begun: bool | None = None, option: str = "--out"
) -> Iterator[None]:
    """Check before and after the block that an endpoint serves the model of the folder's rows.

    Engines other than endpoints are not checked.

    Args:
        folder: folder of the rows, locked by this process.
        name: name of the model in the folder.
        rows: glob patterns of the row files, relative to the folder.
        begun: whether the folder has rows of this model, which makes the stored record binding; ``None``: whether it
            has any row.
        option: option or variable that selects another folder, for error messages.

    Raises:
        UserError: another model, now or at the end of the block; or the folder has rows generated during an exchange.
    """
    if not isinstance(engine, OpenAIEngine):
        yield
        return
    stored, lines = _read(folder), _line_counts(folder, rows)
    begun = any(lines.values()) if begun is None else begun
    if begun:
        refuse_mixed(folder, f"give another {option}", name)
    first = engine.served()
    if begun and name in stored:
        _check_same(first, _parse(stored[name]), folder, name, option)
    else:
        if begun:
            print(f"{folder} has no record of the model behind {name!r} that its rows are of; from now on it has")
        _write(folder, stored | {name: first.to_record()})
    yield
    added = {
        file: [lines.get(file, 0) + 1, last]
        for file, last in _line_counts(folder, rows).items()
        if last > lines.get(file, 0)
    }
    if added:
        _check_at_end(engine, first, folder, name, added, option)


def _check_same(first: ServedModel, before: ServedModel, folder: Path, name: str, option: str) -> None:
    if difference := first.difference(before):
        raise UserError(
            f"{folder} holds rows of another model than the one that is served as {name!r} at {first.url}: "
            f"{difference}",
            f"give another {option}, or serve that model again",
        )
    if hint := first.hint(before):
        print(f"{name!r} at {first.url} may be another model than the rows in {folder} are of: {hint}")


def _check_at_end(
    engine: OpenAIEngine, first: ServedModel, folder: Path, name: str, added: Mapping[str, list[int]], option: str
) -> None:
    try:
        difference = engine.served().difference(first)
    except UserError as error:
        print(f"could not check that {name!r} is still the same model at the end: {error}")
        return
    if difference:
        stored = _read(folder)
        _write(folder, stored | {name: stored[name] | {"mixed": added}})
        raise UserError(
            f"the model behind {name!r} at {first.url} was exchanged during this call: {difference}; the rows that it "
            f"has added to {folder} may be of either: {_line_ranges(added)}",
            f"delete these lines and {FILE}'s entry 'mixed', or give another {option}",
        )


def refuse_mixed(folder: Path, remedy: str, name: str | None = None) -> None:
    """Refuse a folder with rows that were generated while a model was exchanged.

    Args:
        name: check the rows of this model only.

    Raises:
        UserError: such rows.
    """
    for model, record in _read(folder).items():
        if (name is None or model == name) and record.get("mixed"):
            raise UserError(
                f"{folder} holds rows that were generated while the model behind {model!r} was exchanged: "
                f"{_line_ranges(record['mixed'])}",
                f"{remedy}, or delete these lines and the entry 'mixed' in {folder / FILE}",
            )


def _line_ranges(added: Mapping[str, list[int]]) -> str:
    return ", ".join(f"{file} lines {first} to {last}" for file, (first, last) in added.items())


def _line_counts(folder: Path, rows: Sequence[str]) -> dict[str, int]:
    files = [file for pattern in rows for file in sorted(folder.glob(pattern))]
    return {str(file.relative_to(folder)): file.read_bytes().count(b"\n") for file in files}


def _parse(record: Mapping[str, Any]) -> ServedModel:
    return ServedModel(**{name: value for name, value in record.items() if name != "mixed"})


def _read(folder: Path) -> dict[str, dict[str, Any]]:
    file = folder / FILE
    if not file.is_file():
        return {}
    try:
        return dict(json.loads(file.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise UserError(f"{file} cannot be parsed ({error})", "restore it from a copy, or remove it") from None


def _write(folder: Path, records: Mapping[str, Any]) -> None:
    write_atomic(folder / FILE, json.dumps(records, ensure_ascii=False) + "\n")
