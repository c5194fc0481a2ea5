"""An endpoint whose model is exchanged under the same name: seen before rows of both lie in one folder.

``served.json`` beside the rows holds what was seen of each endpoint's model when its first row was drawn. Every call
that draws rows compares before it asks, and once more at its end.
"""

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from permix_verl.errors import UserError
from permix_verl.inference.engines import Engine
from permix_verl.inference.engines.openai import OpenAIEngine
from permix_verl.inference.served_model import Served
from permix_verl.utils.files import write_atomic

FILE = "served.json"
RESULTS = ("samples/*.jsonl", "personagym/answers.jsonl")
"""What a results folder holds of the model under test."""


@contextlib.contextmanager
def same_model(
    engine: Engine, folder: Path, who: str, rows: Sequence[str], *, begun: bool | None = None, other: str = "--out"
) -> Iterator[None]:
    """Refuse an endpoint that serves another model than the rows in a folder are of; any other engine passes.

    Args:
        folder: that keeps the rows, held by this process.
        who: whose rows they are: the name that they go by there.
        rows: patterns of the files with a row a line, seen from the folder.
        begun: whether there are rows of it already, for what was seen before binds only then; ``None``: whether there
            are any.
        other: option or variable that names another folder.

    Raises:
        UserError: another model, now or at the end of the block; or rows are there that were drawn while it changed.
    """
    if not isinstance(engine, OpenAIEngine):
        yield
        return
    kept, lines = _read(folder), _lines(folder, rows)
    begun = any(lines.values()) if begun is None else begun
    if begun:
        refuse_mixed(folder, f"give another {other}", who)
    first = engine.served()
    if begun and who in kept:
        before = _served(kept[who])
        if found := first.differs(before):
            raise UserError(
                f"{folder} holds rows of another model than the one that is served as {who!r} at {first.url}: {found}; "
                f"give another {other}, or serve that model again"
            )
        if remark := first.remark(before):
            print(f"{who!r} at {first.url} may be another model than the rows in {folder} are of: {remark}")
    else:
        if begun:
            print(f"{folder} says nothing of the model behind {who!r} that its rows are of; from now on it does")
        _write(folder, kept | {who: first.kept()})
    yield
    added = {
        name: [lines.get(name, 0) + 1, last] for name, last in _lines(folder, rows).items() if last > lines.get(name, 0)
    }
    if added:
        _look_again(engine, first, folder, who, added, other)


def _look_again(
    engine: OpenAIEngine, first: Served, folder: Path, who: str, added: Mapping[str, list[int]], other: str
) -> None:
    try:
        found = engine.served().differs(first)
    except UserError as error:
        print(f"that {who!r} is still the same model at the end could not be seen: {error}")
        return
    if found:
        kept = _read(folder)
        _write(folder, kept | {who: kept[who] | {"mixed": added}})
        raise UserError(
            f"the model behind {who!r} at {first.url} was exchanged while it was asked: {found}; what this call has "
            f"added to {folder} may be of either: {_places(added)}; delete these lines and {FILE}'s entry 'mixed', "
            f"or give another {other}"
        )


def refuse_mixed(folder: Path, remedy: str, who: str | None = None) -> None:
    """Refuse a folder with rows that were drawn while a model was exchanged.

    Args:
        who: look at rows of this one alone.

    Raises:
        UserError: such rows.
    """
    for name, kept in _read(folder).items():
        if (who is None or name == who) and kept.get("mixed"):
            raise UserError(
                f"{folder} holds rows that were drawn while the model behind {name!r} was exchanged: "
                f"{_places(kept['mixed'])}; {remedy}, or delete these lines and the entry 'mixed' in {folder / FILE}"
            )


def _places(added: Mapping[str, list[int]]) -> str:
    return ", ".join(f"{name} lines {first} to {last}" for name, (first, last) in added.items())


def _lines(folder: Path, rows: Sequence[str]) -> dict[str, int]:
    files = [file for pattern in rows for file in sorted(folder.glob(pattern))]
    return {str(file.relative_to(folder)): file.read_bytes().count(b"\n") for file in files}


def _served(kept: Mapping[str, Any]) -> Served:
    return Served(**{name: value for name, value in kept.items() if name != "mixed"})


def _read(folder: Path) -> dict[str, dict[str, Any]]:
    file = folder / FILE
    if not file.is_file():
        return {}
    try:
        return dict(json.loads(file.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise UserError(f"{file} does not read ({error}); restore it from a copy, or remove it") from None


def _write(folder: Path, kept: Mapping[str, Any]) -> None:
    write_atomic(folder / FILE, json.dumps(kept, ensure_ascii=False) + "\n")
