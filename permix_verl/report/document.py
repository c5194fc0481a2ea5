"""The report as sections, paragraphs and tables, before it is Markdown or HTML.

Both pages are made of the same document, so neither can say what the other does not. All
strings are plain text: names of models and personas are the user's, and whoever renders
them escapes them.
"""

import re
import string
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from permix_verl.report.formatting import MISSING

OFTEN = 3
_REASON = re.compile(r"refused: [^)]+")


@dataclass(frozen=True, slots=True)
class Text:
    """A paragraph.

    Attributes:
        lead: printed bold in front.
        verdict: set apart from the running text.
    """

    text: str
    lead: str = ""
    verdict: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """A table of strings.

    Attributes:
        align: one letter a column, "l" or "r".
        notes: printed below.
        folded: long; a page may show its caption only, until it is opened.
    """

    caption: str
    columns: tuple[str, ...]
    align: str
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()
    folded: bool = False


@dataclass(frozen=True, slots=True)
class Picture:
    """A figure, as an SVG element; pages of text leave it out."""

    name: str
    svg: str
    title: str
    caption: str


Block = Text | Table | Picture


@dataclass(frozen=True, slots=True)
class Section:
    title: str
    blocks: list[Block] = field(default_factory=list)
    parts: list["Section"] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Document:
    title: str
    blocks: list[Block]
    sections: list[Section]


def table(
    caption: str,
    columns: Sequence[tuple[str, str]],
    rows: Sequence[Sequence[str]],
    *,
    folded: bool = False,
    drop_empty: bool = False,
) -> Table:
    """A table from (alignment, heading) pairs. A reason for refusal that fills it is said once, below.

    Args:
        drop_empty: leave out columns in which no row has anything.
    """
    rows, notes = _gather_reasons(rows)
    kept = [
        column
        for column in range(len(columns))
        if not drop_empty or any(row[column] not in ("", MISSING) for row in rows)
    ]
    return Table(
        caption=caption,
        columns=tuple(columns[column][1] for column in kept),
        align="".join(columns[column][0] for column in kept),
        rows=tuple(tuple(row[column] for column in kept) for row in rows),
        notes=notes,
        folded=folded,
    )


def _gather_reasons(rows: Sequence[Sequence[str]]) -> tuple[Sequence[Sequence[str]], tuple[str, ...]]:
    """ "refused: reason" becomes "refused (a)" and a note, where it stands often."""
    reasons = Counter(found[0] for row in rows for cell in row if (found := _REASON.search(cell)))
    often = [reason for reason, times in reasons.items() if times >= OFTEN]
    letters = dict(zip(often, string.ascii_lowercase, strict=False))

    def shortened(cell: str) -> str:
        for reason, letter in letters.items():
            cell = cell.replace(reason, f"refused ({letter})")
        return cell

    notes = tuple(f"({letter}) {reason}" for reason, letter in letters.items())
    return [[shortened(cell) for cell in row] for row in rows], notes
