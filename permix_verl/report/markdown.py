"""Markdown rendering of the document: text and tables, without figures."""

import re

from permix_verl.report.document import Block, Document, Picture, Section, Table
from permix_verl.report.formatting import one_line

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>|#~])")


def to_markdown(document: Document) -> str:
    """Render the document as Markdown."""
    lines = [f"# {escape(document.title)}", ""]
    for block in document.blocks:
        lines += _block(block)
    for section in document.sections:
        lines += _section(section, level=2)
    return "\n".join(lines).rstrip("\n") + "\n"


def escape(text: str) -> str:
    """Escape Markdown and HTML markup, so that a name with ``<b>`` or ``*`` prints literally."""
    return _SPECIAL.sub(r"\\\1", one_line(text).replace("&", "&amp;"))


def _section(section: Section, level: int) -> list[str]:
    lines = [f"{'#' * level} {escape(section.title)}", ""]
    for block in section.blocks:
        lines += _block(block)
    for part in section.parts:
        lines += _section(part, level + 1)
    return lines


def _block(block: Block) -> list[str]:
    if isinstance(block, Picture):
        return []
    if isinstance(block, Table):
        return _table(block)
    lead = f"**{escape(block.lead)}** " if block.lead else ""
    text = f"{lead}{escape(block.text)}".strip()
    return [f"> {text}" if block.conclusion else text, ""]


def _table(table: Table) -> list[str]:
    rows = [table.columns, *table.rows]
    written = [f"| {' | '.join(escape(cell) for cell in row)} |" for row in rows]
    notes = [line for note in table.notes for line in (escape(note), "")]
    rule = "|" + "|".join("---:" if side == "r" else "---" for side in table.align) + "|"
    return [f"*{escape(table.caption)}*", "", written[0], rule, *written[1:], "", *notes]
