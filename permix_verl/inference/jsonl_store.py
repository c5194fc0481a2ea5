"""Rows that were paid for, kept: one line of JSON each with a key of its own, appended and never changed."""

import contextlib
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import Field, asdict
from pathlib import Path
from typing import IO, Any, ClassVar, Generic, Protocol, TypeVar

from permix_verl.errors import UserError
from permix_verl.utils.files import drop_partial_last_line


class Keyed(Protocol):
    """A dataclass with a key."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    @property
    def key(self) -> str: ...


Row = TypeVar("Row", bound=Keyed)


def content_key(*parts: Any) -> str:
    """Hash of all that a row depends on, 32 hex digits; parts are plain data."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, ensure_ascii=False).encode()).hexdigest()[:32]


class KeyedRows(Generic[Row]):
    """A file of rows.

    Args:
        kind: dataclass of a row.
        what: such as "a stored text", for messages.
        remedy: what deleting an unreadable line leads to.

    Attributes:
        by_key: rows that are there, once the file is read.
    """

    def __init__(self, file: Path, kind: type[Row], what: str, remedy: str) -> None:
        self.file, self.by_key = file, dict[str, Row]()
        self._kind, self._what, self._remedy = kind, what, remedy
        self._stream: IO[str] | None = None

    def is_empty(self) -> bool:
        """Whether nothing was ever stored."""
        return not self.file.is_file() or self.file.stat().st_size == 0

    def read(self) -> "KeyedRows[Row]":
        """Read what is there; a last line that is being written, or was cut off by a kill, is left out.

        Raises:
            UserError: a line that does not read.
        """
        self.by_key = {row.key: row for row in self._rows()} if self.file.is_file() else {}
        return self

    @contextlib.contextmanager
    def appending(self) -> Iterator["KeyedRows[Row]"]:
        """Read what is there, and take more; whoever calls this holds the folder's lock."""
        if self.file.is_file():
            drop_partial_last_line(self.file)
        self.read()
        with self.file.open("a", encoding="utf-8") as self._stream:
            yield self

    def append(self, row: Row) -> None:
        """Add a row; once this returns, killing the process does not lose it."""
        assert self._stream is not None, "open the file with appending()"
        self._stream.write(json.dumps(asdict(row), ensure_ascii=False) + "\n")
        self._stream.flush()
        self.by_key[row.key] = row

    def _rows(self) -> Iterator[Row]:
        with self.file.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                if not line.endswith(b"\n"):
                    return
                try:
                    yield self._kind(**json.loads(line))
                except (UnicodeDecodeError, json.JSONDecodeError, TypeError) as error:
                    raise UserError(
                        f"{self.file}, line {number}: not {self._what} ({str(error)[:120]}); restore the file from a "
                        f"copy, or delete this line, and {self._remedy}"
                    ) from None


def append_record(file: Path, record: Mapping[str, Any]) -> None:
    """Add a line of JSON to a file of notes that nothing depends on."""
    with file.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(record, ensure_ascii=False) + "\n")
