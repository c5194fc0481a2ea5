"""Document model of the report: sections, paragraphs, tables and pictures.

Markdown and HTML are rendered from the same document, so they have the same content. All
strings are plain text and may contain the user's names of models and personas; the renderers
escape them.
"""

import re
import string
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from permix_verl.report.formatting import MISSING

MIN_REPEATS_TO_FOOTNOTE = 3
"""Occurrences from which a reason for refusal becomes a footnote."""
_REASON = re.compile(r"refused: [^)]+")


@dataclass(frozen=True, slots=True)
class Text:
    """A paragraph.

    Attributes:
        lead: text printed bold before the paragraph.
        conclusion: set apart from the running text, as the conclusion of a test.
    """

    text: str
    lead: str = ""
    conclusion: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """A table of strings.

    Attributes:
        align: one letter per column, "l" or "r".
        notes: footnotes, printed below.
        folded: collapsed to its caption in HTML, for long tables.
    """

    caption: str
    columns: tuple[str, ...]
    align: str
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()
    folded: bool = False


@dataclass(frozen=True, slots=True)
class Picture:
    """A figure as an SVG element; Markdown omits it."""

    name: str
    svg: str
    title: str
    caption: str


Block = Text | Table | Picture


@dataclass(frozen=True, slots=True)
class Section:
    """A section: its blocks, then its subsections (parts)."""

    title: str
    blocks: list[Block] = field(default_factory=list)
    parts: list["Section"] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Document:
    """A document: its title, introductory blocks and sections."""

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
    """Build a table; reasons for refusal that repeat become footnotes.

    Args:
        columns: (alignment, heading) pairs.
        folded: collapse the table to its caption in HTML.
        drop_empty: omit columns that are empty in all rows.
    """
    rows, notes = _gather_reasons(rows)
    shown = [
        column
        for column in range(len(columns))
        if not drop_empty or any(row[column] not in ("", MISSING) for row in rows)
    ]
    return Table(
        caption=caption,
        columns=tuple(columns[column][1] for column in shown),
        align="".join(columns[column][0] for column in shown),
        rows=tuple(tuple(row[column] for column in shown) for row in rows),
        notes=notes,
        folded=folded,
    )


def _gather_reasons(rows: Sequence[Sequence[str]]) -> tuple[Sequence[Sequence[str]], tuple[str, ...]]:
    """Replace repeated "refused: reason" by "refused (a)" and a footnote."""
    reasons = Counter(match[0] for row in rows for cell in row if (match := _REASON.search(cell)))
    repeated = [reason for reason, times in reasons.items() if times >= MIN_REPEATS_TO_FOOTNOTE]
    letters = dict(zip(repeated, string.ascii_lowercase, strict=False))

    def shorten(cell: str) -> str:
        for reason, letter in letters.items():
            cell = cell.replace(reason, f"refused ({letter})")
        return cell

    notes = tuple(f"({letter}) {reason}" for reason, letter in letters.items())
    return [[shorten(cell) for cell in row] for row in rows], notes
