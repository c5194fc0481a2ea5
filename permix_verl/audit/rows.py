"""Stream of outputs to audit, from JSON Lines files and results folders."""

import functools
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from permix_verl.audit.fields import label_of, question_of, text_of, value_of
from permix_verl.data.problems import jsonl_records
from permix_verl.errors import UserError


@dataclass(frozen=True, slots=True)
class OutputRow:
    """One output and its gold answer.

    Attributes:
        file, line: location of the row.
        name: id of the row, or empty.
        persona: persona key or text, or empty.
        question: question, or empty.
        label: True if labelled right, ``None`` without a label.
    """

    file: str
    line: int
    name: str
    persona: str
    question: str
    output: str
    gold: str
    label: bool | None


def read_rows(paths: Sequence[Path], field_names: Mapping[str, str]) -> Iterator[OutputRow]:
    """Read the rows of all paths, in order.

    Args:
        paths: JSON Lines files, and results folders written by ``eval/run.py``.
        field_names: field -> its name in the rows, where ``fields.NAMES`` is ambiguous.

    Raises:
        UserError: a missing path, no rows, an unreadable line, or a missing or ambiguous field.
    """
    for path in paths:
        empty = True
        for row in _folder_rows(path) if path.is_dir() else _file_rows(path, field_names):
            empty = False
            yield row
        if empty:
            raise UserError(f"{path} has no rows", "give a file with one JSON object a line")


def _folder_rows(folder: Path) -> Iterator[OutputRow]:
    from permix_verl.evaluation.sample_store import SampleStore

    store = SampleStore(folder)
    if not store.tasks():
        raise UserError(f"{folder} has no samples/*.jsonl", "give a results folder of eval/run.py, or a file")
    for task in store.tasks():
        file = str(folder / "samples" / f"{task}.jsonl")
        for line, sample in enumerate(store.samples(task), start=1):
            where = f"{file}, line {line}"
            _check_task(task, where)
            name = f"{sample.problem}#{sample.run}"
            question = question_of(sample.prompt) or ""
            yield OutputRow(file, line, name, sample.persona, question, sample.output, sample.gold, None)


def _file_rows(file: Path, field_names: Mapping[str, str]) -> Iterator[OutputRow]:
    if not file.exists():
        raise UserError(f"no such file or folder: {file}", "give JSON Lines, or a results folder of eval/run.py")
    if not file.is_file() or not os.access(file, os.R_OK):
        raise UserError(
            f"cannot read {file}: not a readable regular file (it is read twice)", "save the outputs to a file"
        )
    for number, record in jsonl_records(file):
        where = f"{file}, line {number}"
        if not isinstance(record, dict):
            raise UserError(f"{where}: expected an object, got {type(record).__name__}", "write one object a line")
        yield _row(record, str(file), number, where, field_names)


def _row(record: Mapping[str, Any], file: str, line: int, where: str, field_names: Mapping[str, str]) -> OutputRow:
    _check_task(record.get("task"), where)
    prompt = value_of(record, "prompt", field_names, where)
    persona = value_of(record, "persona", field_names, where)
    if persona is not None and not isinstance(persona, str):
        raise UserError(f"{where}: the persona is {str(persona)[:80]!r}", "it must be a string: its key or its text")
    label = value_of(record, "label", field_names, where)
    try:
        right = label_of(label)
    except ValueError:
        raise UserError(
            f"{where}: the label is {str(label)[:80]!r}",
            "write true or false, correct or wrong, 1 or 0, or leave it out",
        ) from None
    return OutputRow(
        file,
        line,
        _name(record),
        persona or "",
        question_of(prompt) or "",
        _output(record, where, field_names),
        _gold(record, where, field_names),
        right,
    )


def _output(record: Mapping[str, Any], where: str, field_names: Mapping[str, str]) -> str:
    value = value_of(record, "output", field_names, where)
    text = text_of(value, "assistant")
    if text is None:
        raise _field_error(record, "output", value).at(where)
    return text


def _gold(record: Mapping[str, Any], where: str, field_names: Mapping[str, str]) -> str:
    value = value_of(record, "gold", field_names, where)
    text = str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value
    if not isinstance(text, str) or not text.strip():
        raise _field_error(record, "gold", value).at(where)
    return text


def _field_error(record: Mapping[str, Any], name: str, value: Any) -> UserError:
    if value is not None:
        return UserError(f"the {name} is {str(value)[:80]!r}", "it must be text")
    present = ", ".join(map(str, record))[:200] or "none"
    return UserError(f"no {name} among the fields ({present})", f"name the field that has it: --field {name}=FIELD")


def _name(record: Mapping[str, Any]) -> str:
    names = (record.get(field) for field in ("id", "row_id", "problem", "key"))
    return next((str(name) for name in names if isinstance(name, str | int) and len(str(name)) <= 100), "")


def _check_task(task: Any, where: str) -> None:
    if isinstance(task, str) and _scored_by_tests(task):
        raise UserError(
            f"{where}: task {task} is scored by running programs and has no answers to check", "leave it out"
        )


@functools.cache
def _scored_by_tests(task: str) -> bool:
    from permix_verl.evaluation.tasks import find_task, known_tasks

    return task in known_tasks() and find_task(task).gold_output is None
