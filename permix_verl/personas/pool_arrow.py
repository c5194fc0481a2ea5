"""Personas in an Arrow table: in memory while a large pool is read, then in a file that every process maps.

A pool of 200,000 personas is neither copied into a data file's metadata nor into each dataloader worker. The table is
written beside the data (:data:`POOL_FILE`), and a process reads the few personas that it draws from the mapped file.
"""

import bisect
import os
import tempfile
import weakref
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from permix_verl.errors import UserError, first_line
from permix_verl.personas.persona import Persona
from permix_verl.utils.files import file_sha256

if TYPE_CHECKING:
    import pyarrow as pa

POOL_FILE = "personas.arrow"
"""Name of a large pool's file in a data folder."""
BATCH = 4096
"""Personas in a record batch of the table."""
_REMEDY = "prepare the data again"


def build_table(personas: Iterable[Persona]) -> "pa.Table":
    """Return a table of personas, one a row, in record batches of :data:`BATCH`."""
    import pyarrow as pa

    text = pa.string()
    schema = pa.schema(
        [
            ("key", text),
            ("category", text),
            ("system_prompt", text),
            ("weight", pa.float64()),
            ("paraphrases", pa.list_(text)),
        ]
    )
    batches: list[pa.RecordBatch] = []
    rows: list[tuple[Any, ...]] = []

    def end_batch() -> None:
        columns = zip(*rows, strict=True)
        arrays = [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)]
        batches.append(pa.record_batch(arrays, schema=schema))
        rows.clear()

    for persona in personas:
        rows.append((persona.key, persona.category, persona.system_prompt, persona.weight, persona.paraphrases))
        if len(rows) == BATCH:
            end_batch()
    if rows:
        end_batch()
    return pa.Table.from_batches(batches, schema=schema)


class StoredPersonas(Sequence[Persona]):
    """A sequence of personas that are read from a table when they are asked for.

    A pickled one has only the file's path, so that the processes that it is sent to share the file's pages. One that
    is in memory is first written to a temporary file, which lives as long as this object's process.

    Attributes:
        path: the file; ``None`` if the table is in memory.
        sha256: hash of the file; empty if the table is in memory.
        skipped: sorted positions in the table that are not in the sequence.
    """

    def __init__(
        self, table: "pa.Table", path: Path | None = None, sha256: str = "", skipped: tuple[int, ...] = ()
    ) -> None:
        self._table = table
        self.path = path
        self.sha256 = sha256
        self.skipped = skipped
        # Position p of the sequence is position p + k of the table if k of these are at most p.
        self._shifts = [position - number for number, position in enumerate(skipped)]

    @classmethod
    def open(cls, path: Path, sha256: str) -> "StoredPersonas":
        """Map a file that :meth:`write` has written.

        Raises:
            UserError: the file is missing, or is another one.
        """
        if not path.is_file():
            raise UserError(f"the personas of {path.parent} are missing: no {path}", f"{_REMEDY}, or put it back")
        found = file_sha256(path)
        if found != sha256:
            raise UserError(
                f"{path} is not the file that the data were prepared with (SHA-256 {found[:16]}, not {sha256[:16]})",
                f"{_REMEDY}, or put it back",
            )
        return cls(_mapped(path), path, sha256)

    def write(self, path: Path) -> "StoredPersonas":
        """Write the personas to a file; return them as the file has them."""
        import pyarrow as pa

        table = build_table(self) if self.skipped else self._table
        with pa.ipc.new_file(path, table.schema) as writer:
            writer.write_table(table)
        return StoredPersonas(_mapped(path), path, file_sha256(path))

    def without(self, keys: Collection[str]) -> "StoredPersonas":
        """Return the sequence without the personas of these keys."""
        import pyarrow as pa
        import pyarrow.compute as pc

        left_out = pc.is_in(self._table.column("key"), value_set=pa.array(list(keys), pa.string()))
        rows = pc.indices_nonzero(left_out).to_pylist()
        return StoredPersonas(self._table, self.path, self.sha256, tuple(sorted({*self.skipped, *rows})))

    def weights(self) -> list[float] | None:
        """Return the weight of every persona, in order; ``None`` if all are equal."""
        import pyarrow.compute as pc

        ends = pc.min_max(self._table.column("weight")).as_py()
        return None if ends["min"] == ends["max"] else self.column("weight")

    def column(self, name: str) -> list[Any]:
        """Return one field of every persona, in order."""
        values = self._table.column(name).to_pylist()
        for position in reversed(self.skipped):
            del values[position]
        return values

    def has_paraphrases(self) -> bool:
        """Return whether a persona has several wordings."""
        return any(len(chunk.flatten()) for chunk in self._table.column("paraphrases").chunks)

    def text_arrays(self) -> Iterator["pa.Array"]:
        """Yield the first wording of every persona, in order, in arrays."""
        import pyarrow as pa

        if self.skipped:
            yield pa.array(self.column("system_prompt"), pa.string())
        else:
            yield from self._table.column("system_prompt").chunks

    def find(self, key: str) -> int | None:
        """Return the position of a key; ``None`` if it is not there."""
        import pyarrow.compute as pc

        row = pc.index(self._table.column("key"), key).as_py()
        before = bisect.bisect_left(self.skipped, row)
        is_skipped = before < len(self.skipped) and self.skipped[before] == row
        return None if row < 0 or is_skipped else row - before

    def _row(self, position: int) -> int:
        return position + bisect.bisect_right(self._shifts, position)

    def __len__(self) -> int:
        return int(self._table.num_rows) - len(self.skipped)

    @overload
    def __getitem__(self, position: int) -> Persona: ...
    @overload
    def __getitem__(self, position: slice) -> tuple[Persona, ...]: ...
    def __getitem__(self, position: int | slice) -> Persona | tuple[Persona, ...]:
        if isinstance(position, slice):
            return tuple(self[i] for i in range(*position.indices(len(self))))
        if not -len(self) <= position < len(self):
            raise IndexError(f"position {position} of {len(self)} personas")
        row = self._row(position % len(self))
        return _persona(*(column[row].as_py() for column in self._table.columns))

    def __iter__(self) -> Iterator[Persona]:
        skipped, row = set(self.skipped), 0
        for batch in self._table.to_batches(max_chunksize=BATCH):
            for fields in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                if row not in skipped:
                    yield _persona(*fields)
                row += 1

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, StoredPersonas):
            return NotImplemented
        return self.skipped == other.skipped and bool(self._table.equals(other._table))

    def __hash__(self) -> int:
        return hash((len(self), self.skipped))

    def __reduce__(self) -> tuple[Any, ...]:
        if self.path is None:
            self._spill()
        return _reopened, (self.path, self.sha256, self.skipped)

    def _spill(self) -> None:
        handle, name = tempfile.mkstemp(prefix="permix-personas-", suffix=".arrow")
        os.close(handle)
        weakref.finalize(self, _remove, Path(name), os.getpid())
        stored = StoredPersonas(self._table).write(Path(name))
        self._table, self.path, self.sha256 = stored._table, stored.path, stored.sha256


def _persona(key: str, category: str, system_prompt: str, weight: float, paraphrases: Sequence[str] | None) -> Persona:
    return Persona(key, category, system_prompt, weight, tuple(paraphrases or ()))


def _mapped(path: Path) -> "pa.Table":
    import pyarrow as pa

    try:
        return pa.ipc.open_file(pa.memory_map(str(path))).read_all()
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"cannot read the personas in {path} ({first_line(error)})", _REMEDY) from None


def _reopened(path: Path, sha256: str, skipped: tuple[int, ...]) -> StoredPersonas:
    stored = StoredPersonas.open(path, sha256)
    return StoredPersonas(stored._table, path, sha256, skipped)


def _remove(file: Path, owner: int) -> None:
    if os.getpid() == owner:  # a forked worker's copy of the object ends before its owner's
        file.unlink(missing_ok=True)
