"""Problems, and problem sources in GSM8K's format, read as streams.

A GSM8K row is ``{"question": ..., "answer": rationale + "#### N"}``. The final answer is stored bare (no ``####``, no
thousands separators, no ``$``): math-verify misreads 22 of the 7473 training golds if it gets the whole text. Sources
with other fields: ``permix_verl.data.problem_sources``.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from permix_verl.data.golds import FINAL_ANSWER_MARK, parse_final_answer
from permix_verl.data.records import HUB_NAME, Located, file_records, hub_records, jsonl_records, resolve_files
from permix_verl.errors import UserError

__all__ = [
    "FINAL_ANSWER_MARK",
    "HUB_NAME",
    "Problem",
    "check_text",
    "iter_problems",
    "iter_records",
    "jsonl_records",
    "parse_final_answer",
]


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem.

    Attributes:
        row_id: stable identifier, such as ``gsm8k/train/17`` or ``math/train/9f86d081884c7d65``.
        solution: the source's worked solution; empty for code, and where the source has the final answer alone.
        final_answer: the bare answer, or a program's tests as JSON.
        task: key of the answer instruction (``permix_verl.personas.prompts``) and of the verifier.
        source: name of the problem's source, the first part of its curve.
    """

    row_id: str
    question: str
    solution: str
    final_answer: str
    task: str = "math"
    source: str = ""


def iter_problems(source: str, split: str = "train", dataset: str = "gsm8k") -> Iterator[Problem]:
    """Stream the problems of a source in GSM8K's format, in order; their ids are their positions.

    Args:
        source: as in :func:`permix_verl.data.records.resolve_files`.
        split: ``train`` or ``test``; names the file inside a folder and the hub's split.
        dataset: first part of the row ids. It is not taken from the path, so that the draw of personas does not depend
            on where the files are.

    Raises:
        UserError: no such source, a malformed row (with its line), a row without ``####``.
    """
    for index, (where, record) in enumerate(_records(source, split, ("question", "answer"))):
        yield _to_problem(record, f"{dataset}/{split}/{index}", where)


def iter_records(
    source: str, split: str, fields: tuple[str, ...], *, hub_split: str | None = None
) -> Iterator[dict[str, Any]]:
    """Stream the rows of any problem set, and check that these fields are non-empty strings.

    Args:
        source: as in :func:`permix_verl.data.records.resolve_files`.
        hub_split: the hub's name for the split, if it differs.

    Raises:
        UserError: no such source, a malformed row, a missing field.
    """
    for where, record in _records(source, split, fields, hub_split):
        _check_fields(record, fields, where)
        yield record


def _records(source: str, split: str, fields: tuple[str, ...], hub_split: str | None = None) -> Iterator[Located]:
    files = resolve_files(source, split)
    if files is None:
        yield from hub_records(source, "main" if source == HUB_NAME else None, hub_split or split)
        return
    for file in files:
        if file.suffix == ".parquet":
            _check_columns(file, fields)
        yield from file_records(file)


def _check_columns(file: Any, fields: tuple[str, ...]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        names = pq.read_schema(file).names
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"{file} is not a parquet file ({error})", "write it again") from None
    if missing := set(fields) - set(names):
        raise UserError(
            f"{file} has no column {sorted(missing)}, but {names}", "rename the columns, or give another file"
        )


def _to_problem(record: Any, row_id: str, where: str) -> Problem:
    _check_fields(record, ("question", "answer"), where)
    try:
        final_answer = parse_final_answer(record["answer"])
    except ValueError as error:
        raise UserError(
            f"{where}: {error} in answer {record['answer'][-60:]!r}",
            f"end the answer with '{FINAL_ANSWER_MARK} N', or remove the row",
        ) from None
    return Problem(row_id=row_id, question=record["question"], solution=record["answer"], final_answer=final_answer)


def _check_fields(record: Any, fields: tuple[str, ...], where: str) -> None:
    if not isinstance(record, dict):
        raise UserError(f"{where}: expected an object, got {type(record).__name__}", f"fields: {', '.join(fields)}")
    for field in fields:
        try:
            check_text(record.get(field), field)
        except UserError as error:
            raise error.at(where) from None


def check_text(value: Any, field: str) -> str:
    """Return a field's text.

    Raises:
        UserError: it is no text, blank, or not valid Unicode.
    """
    if not isinstance(value, str) or not value.strip():
        raise UserError(f"field {field!r} is {value!r}", "it must be a non-empty string")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise UserError(f"field {field!r} is not valid Unicode ({error})", "repair or remove the row") from None
    return value
