"""Append-only JSONL store of generated rows, keyed by content hash, and the settings file beside it."""

import contextlib
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import Field, asdict
from pathlib import Path
from typing import IO, Any, ClassVar, Generic, Protocol, TypeVar

from permix_verl.errors import UserError
from permix_verl.utils.files import drop_partial_last_line, write_atomic


class Keyed(Protocol):
    """Dataclass with a key."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    @property
    def key(self) -> str: ...


Row = TypeVar("Row", bound=Keyed)


def content_key(*parts: Any) -> str:
    """Return a hash of everything that a row depends on, 32 hex digits; parts are plain data."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, ensure_ascii=False).encode()).hexdigest()[:32]


class RowFile(Generic[Row]):
    """A file with one JSON object per row. Rows are appended and never changed.

    Args:
        file: path of the file.
        row_type: dataclass of a row.
        row_name: name of a row in error messages, such as "a sample".
        remedy: consequence of deleting an unreadable line, for error messages.
    """

    def __init__(self, file: Path, row_type: type[Row], row_name: str, remedy: str) -> None:
        self.file = file
        self._row_type, self._row_name, self._remedy = row_type, row_name, remedy
        self._stream: IO[str] | None = None

    def is_empty(self) -> bool:
        """Return whether the file has no row."""
        return not self.file.is_file() or self.file.stat().st_size == 0

    def numbered_rows(self) -> Iterator[tuple[int, Row]]:
        """Yield line numbers and rows; a partial last line, which is being written or was cut by a kill, is skipped.

        Raises:
            UserError: a line does not parse.
        """
        if not self.file.is_file():
            return
        with self.file.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                if not line.endswith(b"\n"):
                    return
                try:
                    row = self._row_type(**json.loads(line))
                except (UnicodeDecodeError, json.JSONDecodeError, TypeError) as error:
                    raise UserError(
                        f"{self.file}, line {number}: not {self._row_name} ({str(error)[:120]})",
                        f"restore the file from a copy, or delete this line, and {self._remedy}",
                    ) from None
                yield number, row

    def append(self, *rows: Row) -> None:
        """Append rows; once this returns, killing the process does not lose them."""
        if self._stream is None:
            self._stream = self.file.open("a", encoding="utf-8")
        self._stream.write("".join(json.dumps(asdict(row), ensure_ascii=False) + "\n" for row in rows))
        self._stream.flush()

    def close(self) -> None:
        """Close the file; a later :meth:`append` opens it again."""
        if self._stream is not None:
            self._stream.close()
        self._stream = None


class KeyedRows(RowFile[Row]):
    """A row file whose rows are held in memory.

    Attributes:
        by_key: rows by key, after :meth:`read`.
    """

    def __init__(self, file: Path, row_type: type[Row], row_name: str, remedy: str) -> None:
        super().__init__(file, row_type, row_name, remedy)
        self.by_key: dict[str, Row] = {}

    def read(self) -> "KeyedRows[Row]":
        """Read the rows of the file.

        Raises:
            UserError: a line does not parse.
        """
        self.by_key = {row.key: row for _, row in self.numbered_rows()}
        return self

    @contextlib.contextmanager
    def appending(self) -> Iterator["KeyedRows[Row]"]:
        """Read the rows and accept more while the block runs; the caller holds the folder's lock."""
        if self.file.is_file():
            drop_partial_last_line(self.file)
        self.read()
        try:
            yield self
        finally:
            self.close()

    def append(self, *rows: Row) -> None:
        """Append rows; once this returns, killing the process does not lose them."""
        super().append(*rows)
        self.by_key |= {row.key: row for row in rows}


def append_record(file: Path, record: Mapping[str, Any]) -> None:
    """Append one JSON line to a file that nothing reads back."""
    with file.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(record, ensure_ascii=False) + "\n")


class SettingsFile:
    """JSON file of the settings that a folder of rows was begun with.

    Args:
        file: path of the file.
        format: version of the folder's layout.
        missing: problem and remedy for a folder without the file.
    """

    def __init__(self, file: Path, format: int, missing: tuple[str, str]) -> None:
        self.file, self.format, self._missing = file, format, missing

    def exists(self) -> bool:
        """Return whether the folder was begun."""
        return self.file.is_file()

    def read(self) -> dict[str, Any]:
        """Read the settings.

        Raises:
            UserError: the file is missing, does not parse, or has another format.
        """
        if not self.exists():
            raise UserError(*self._missing)
        try:
            content = json.loads(self.file.read_text(encoding="utf-8"))
        except (UnicodeDecodeError, json.JSONDecodeError) as error:
            raise UserError(f"{self.file} is not JSON ({error})", "restore it from a copy") from None
        stored = content.get("format") if isinstance(content, dict) else None
        if stored != self.format:
            raise UserError(
                f"{self.file} has format {stored!r}, and this version reads {self.format}",
                "read it with the version that wrote it, or give another --out",
            )
        return dict(content)

    def write(self, settings: Mapping[str, Any]) -> None:
        """Write the settings atomically."""
        write_atomic(self.file, json.dumps(settings, indent=2, ensure_ascii=False) + "\n")


def plain(value: Any) -> Any:
    """Return the value as JSON reads it back: tuples become lists, keys strings."""
    return json.loads(json.dumps(value))


def check_unchanged(folder: Path, name: str, before: Any, now: Any) -> None:
    """Compare a setting with the one that the folder was begun with.

    Raises:
        UserError: they differ.
    """
    if before != plain(now):
        shown = [text if len(text) < 200 else f"{text[:200]}..." for text in (repr(before), repr(now))]
        raise UserError(
            f"{folder} holds results with {name} {shown[0]}, not {shown[1]}", "give another --out, or the same settings"
        )
