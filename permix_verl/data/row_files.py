"""Rows of several data sets as one, also where their columns are of different types.

``datasets`` concatenates only what has one schema, but public sets differ: ``extra_info.index`` is an integer in one
and a text in another.
"""

import bisect
import itertools
from collections.abc import Iterable, Sequence
from typing import Any


class RowFiles:
    """Data sets one behind another, as far as verl's dataset uses a ``datasets.Dataset``.

    Args:
        parts: data sets.
        rows: (part, position) of each row; default: all, in order.
        columns: columns of every row; one that a part lacks is ``None``. Default: those of all parts.
    """

    def __init__(
        self, parts: Sequence[Any], rows: Sequence[int] | None = None, columns: Sequence[str] | None = None
    ) -> None:
        self.parts, self.rows = list(parts), rows
        self.ends = list(itertools.accumulate(map(len, self.parts)))
        names = itertools.chain.from_iterable(part.column_names for part in self.parts)
        self.column_names = list(columns) if columns is not None else list(dict.fromkeys(names))

    def __len__(self) -> int:
        return self.ends[-1] if self.rows is None else len(self.rows)

    def __getitem__(self, position: int) -> dict[str, Any]:
        """Return a row."""
        number = position if self.rows is None else self.rows[position]
        part = bisect.bisect_right(self.ends, number)
        row = self.parts[part][number - (self.ends[part - 1] if part else 0)]
        return {name: row.get(name) for name in self.column_names}

    def select(self, positions: Iterable[int]) -> "RowFiles":
        """Return the rows at some positions."""
        rows = [position if self.rows is None else self.rows[position] for position in positions]
        return RowFiles(self.parts, rows, self.column_names)

    def select_columns(self, names: Sequence[str]) -> "RowFiles":
        """Return the rows with some columns."""
        parts = [part.select_columns([name for name in names if name in part.column_names]) for part in self.parts]
        return RowFiles(parts, self.rows, names)

    def to_list(self) -> list[dict[str, Any]]:
        """Return all rows."""
        return [self[position] for position in range(len(self))]


def load_rows(files: Sequence[str]) -> list[Any]:
    """Load parquet and JSON files as verl's dataset does: a ``datasets.Dataset`` of each."""
    import datasets

    kinds = ["parquet" if file.endswith(".parquet") else "json" for file in files]
    return [datasets.load_dataset(kind, data_files=file)["train"] for kind, file in zip(kinds, files, strict=True)]


def have_one_schema(parts: Sequence[Any]) -> bool:
    """Return whether ``datasets`` can concatenate data sets."""
    import datasets

    try:
        datasets.concatenate_datasets(list(parts))
    except ValueError:
        return False
    return True
