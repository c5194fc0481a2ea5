"""Problem sources, read as streams: word problems in GSM8K's format, and rows of any other problem set.

A GSM8K row is ``{"question": ..., "answer": rationale + "#### N"}``. The final answer is stored bare (no ``####``, no
thousands separators, no ``$``): math-verify misreads 22 of the 7473 training golds if it gets the whole text.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from permix_verl.errors import UserError, first_line

HUB_NAME = "openai/gsm8k"
FINAL_ANSWER_MARK = "####"

_NUMBER = re.compile(r"-?\$?\s*-?[\d,]*\.?\d+")


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem.

    Attributes:
        row_id: stable identifier, such as ``gsm8k/train/17``.
        solution: the source's ``answer``, rationale included; empty for code.
        final_answer: the bare answer, or a program's tests as JSON.
        task: key of the answer instruction (``permix_verl.personas.prompts``) and of the verifier.
    """

    row_id: str
    question: str
    solution: str
    final_answer: str
    task: str = "math"


def parse_final_answer(solution: str) -> str:
    """Return the text after the last ``####``, without separators and ``$`` if it is a number.

    Raises:
        ValueError: no ``####``, or nothing after it.
    """
    _, mark, tail = solution.rpartition(FINAL_ANSWER_MARK)
    if not mark:
        raise ValueError(f"no {FINAL_ANSWER_MARK!r} before the final answer")
    tail = tail.strip().rstrip(".")
    if _NUMBER.fullmatch(tail):
        tail = re.sub(r"[,$\s]", "", tail)
    if not tail:
        raise ValueError(f"nothing after {FINAL_ANSWER_MARK!r}")
    return tail


def iter_problems(source: str, split: str = "train", dataset: str = "gsm8k") -> Iterator[Problem]:
    """Stream the problems of a source, in order.

    Args:
        source: a ``.jsonl`` or ``.parquet`` file, a folder that holds ``<split>.jsonl``,
            ``<split>.parquet`` or ``<split>-*.parquet``, or a hub name such as ``openai/gsm8k``.
        split: ``train`` or ``test``; names the file inside a folder and the hub's split.
        dataset: first part of the row ids. It is not taken from the path, so that the draw of personas does not depend
            on where the files are.

    Raises:
        UserError: no such source, a malformed row (with its line), a row without ``####``.
    """
    for index, (where, record) in enumerate(_records(source, split, ("question", "answer"))):
        yield _to_problem(record, row_id=f"{dataset}/{split}/{index}", where=where)


def iter_records(
    source: str, split: str, fields: tuple[str, ...], *, hub_split: str | None = None
) -> Iterator[dict[str, Any]]:
    """Stream the rows of any problem set, and check that these fields are non-empty strings.

    Args:
        source: as in :func:`iter_problems`.
        hub_split: the hub's name for the split, if it differs.

    Raises:
        UserError: no such source, a malformed row, a missing field.
    """
    for where, record in _records(source, split, fields, hub_split):
        _check_fields(record, fields, where)
        yield record


def _records(
    source: str, split: str, fields: tuple[str, ...], hub_split: str | None = None
) -> Iterator[tuple[str, Any]]:
    files = resolve_files(source, split)
    return _hub_records(source, hub_split or split) if files is None else _file_records(files, fields)


def resolve_files(source: str, split: str) -> list[Path] | None:
    """Return the local files of a source, or ``None`` if it is a hub name.

    Raises:
        UserError: a path that does not exist, or a folder without the split.
    """
    path = Path(source).expanduser()
    if path.is_file():
        if path.suffix not in (".jsonl", ".parquet"):
            raise UserError(f"cannot read {path}: unknown suffix {path.suffix!r}", "give a .jsonl or .parquet file")
        return [path]
    if path.is_dir():
        for folder in (path, path / "main"):
            for pattern in (f"{split}.jsonl", f"{split}.parquet", f"{split}-*.parquet"):
                files = sorted(folder.glob(pattern))
                if files:
                    return files
        raise UserError(f"folder {path} has no {split}.jsonl, {split}.parquet or {split}-*.parquet", "name the file")
    looks_like_path = source.startswith((".", "/", "~")) or path.suffix in (".jsonl", ".parquet", ".json", ".csv")
    if looks_like_path or source.count("/") != 1:
        raise UserError(f"no such file or folder: {source!r}", f"give a path, or a hub name such as {HUB_NAME}")
    return None


def _file_records(files: list[Path], fields: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    for file in files:
        if file.suffix == ".jsonl":
            for number, record in jsonl_records(file):
                yield f"{file}, line {number}", record
        else:
            yield from _parquet_records(file, fields)


def jsonl_records(file: Path) -> Iterator[tuple[int, Any]]:
    """Stream (line number from 1, value) of a JSON Lines file; skip empty lines.

    Raises:
        UserError: a line that is not JSON.
    """
    with file.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                record = json.loads(line.decode("utf-8"))
            except (ValueError, RecursionError) as error:  # bad encoding, bad JSON, a number with too many digits
                raise UserError(f"{file}, line {number}: not JSON ({error})", "repair or remove the line") from None
            yield number, record


def _parquet_records(file: Path, fields: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        parquet = pq.ParquetFile(file)
    except pa.ArrowInvalid as error:
        raise UserError(f"{file} is not a parquet file ({error})", "write it again") from None
    missing = set(fields) - set(parquet.schema_arrow.names)
    if missing:
        raise UserError(
            f"{file} has no column {sorted(missing)}, but {parquet.schema_arrow.names}",
            "rename the columns, or give another file",
        )
    number = 0
    for batch in parquet.iter_batches(batch_size=4096):
        for record in batch.to_pylist():
            number += 1
            yield f"{file}, row {number}", record


def _hub_records(name: str, split: str) -> Iterator[tuple[str, Any]]:
    import datasets

    try:
        dataset = datasets.load_dataset(name, "main" if name == HUB_NAME else None, split=split)
    except Exception as error:  # the hub client raises a dozen types, all meaning that the data cannot be loaded
        raise UserError(
            f"cannot load {name!r}, split {split!r}, from the hub ({first_line(error)})",
            "check the name and the network, or give the path of a local .jsonl or .parquet file",
        ) from error
    for number, record in enumerate(dataset, start=1):
        yield f"{name}, {split} row {number}", record


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
        if not isinstance(record.get(field), str) or not record[field].strip():
            raise UserError(f"{where}: field {field!r} is {record.get(field)!r}", "it must be a non-empty string")
        try:
            record[field].encode()
        except UnicodeEncodeError as error:
            raise UserError(
                f"{where}: field {field!r} is not valid Unicode ({error})", "repair or remove the row"
            ) from None
