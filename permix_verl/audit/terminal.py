"""Audit as terminal text: a table of counts, then the cases in which the checkers differ."""

import textwrap
from collections.abc import Mapping, Sequence

from permix_verl.audit.cases import AGREED, CHECKERS, KINDS, AuditCase, CheckResult
from permix_verl.audit.counts import Counts, OutputCounts
from permix_verl.report.formatting import percent, pluralize

TAIL_CHARS = 200
"""Characters shown of the end of an output."""
GROUPS = 20
"""Maximum number of personas in the table."""
_MIN_NAME_WIDTH = 12


def counts_text(overall: Counts, marks: Mapping[str, Counts], personas: Mapping[str, Counts], width: int) -> str:
    """Format the counts: rows for all outputs, each mark and each persona; a block of columns a checker."""
    labelled = overall.labelled > 0
    groups: list[tuple[str, Counts | None]] = [("all", overall), ("by mark", None)]
    groups += [(f"  {name}", counts) for name, counts in marks.items()]
    if set(personas) != {""}:
        groups.append(("by persona", None))
        groups += [(f"  {name or '(none)'}", counts) for name, counts in list(personas.items())[:GROUPS]]
    heads = ["right", "none", *(("lost", "false") if labelled else ())]
    rows = [["answers", *(head for _ in CHECKERS for head in heads)]]
    rows += [_cells(counts, labelled) if counts else [] for _, counts in groups]
    widths = [max(len(row[column]) for row in rows if row) for column in range(len(rows[0]))]
    for column in range(1, len(widths), len(heads)):  # room for the checker's name above its columns
        widths[column] = max(widths[column], 5) + 2
    name_width = max(_MIN_NAME_WIDTH, width - sum(widths) - len(widths) - 1)
    names = ["", *(_truncate(name, name_width) for name, _ in groups)]
    longest = max(map(len, names))
    blocks = [sum(widths[column : column + len(heads)]) + len(heads) for column in range(1, len(widths), len(heads))]
    over = " " * (longest + 1 + widths[0]) + "".join(map(str.rjust, CHECKERS, blocks))
    lines = [
        " ".join([name.ljust(longest), *map(str.rjust, row, widths)]).rstrip()
        for name, row in zip(names, rows, strict=True)
    ]
    return "\n".join([over, *lines, "", *_notes(overall, len(personas), width)])


def _cells(counts: Counts, labelled: bool) -> list[str]:
    cells = [str(counts.outputs)]
    for tally in counts.checkers.values():
        cells += [percent(tally.statuses[status] / counts.outputs) for status in ("correct", "no_answer")]
        if labelled:
            cells += [str(tally.lost), str(tally.credited)]
    return cells


def column_legend(overall: Counts) -> str:
    """Explain the columns."""
    text = "Right: credited, % of the answers. None: no answer read, %."
    if not overall.labelled:
        return text
    return (
        f"{text} Lost: of {pluralize(overall.right, 'answer')} labelled right, those not credited. False: of "
        f"{pluralize(overall.wrong, 'answer')} labelled wrong, those credited."
    )


def _notes(overall: Counts, personas: int, width: int) -> list[str]:
    notes = [column_legend(overall)]
    for checker, tally in overall.checkers.items():
        if failed := _failures(tally):
            notes.append(f"{checker} failed: {failed}; these are not credited.")
    if personas > GROUPS:
        notes.append(f"{personas - GROUPS} more personas, with fewer differences, are listed in --out.")
    return [line for note in notes for line in textwrap.wrap(note, width)]


def _failures(tally: OutputCounts) -> str:
    return ", ".join(pluralize(tally.statuses[kind], kind) for kind in ("timeout", "error") if tally.statuses[kind])


def cases_text(cases: Sequence[AuditCase], overall: Counts, width: int) -> str:
    """Format the cases, grouped by kind of difference.

    Args:
        cases: the cases to show.
        overall: counts of all outputs.
    """
    lines = [f"{pluralize(overall.differences, 'difference')} in {pluralize(overall.outputs, 'answer')}"]
    lines += [f"{overall.kinds[kind]:>7}  {what}" for kind, what in KINDS.items() if kind != AGREED]
    shown: dict[str, list[AuditCase]] = {}
    for case in cases:
        shown.setdefault(case.kind, []).append(case)
    for kind, kind_cases in shown.items():
        title = f"{KINDS[kind]}: {len(kind_cases)} of {overall.kinds[kind]}"
        lines += ["", title, "-" * min(len(title), width)]
        lines += [line for case in kind_cases for line in ("", *_case_lines(case, width))][1:]
    return "\n".join(lines)


def _case_lines(case: AuditCase, width: int) -> list[str]:
    about = [f"{case.file}, line {case.line}", *([f"id {case.name}"] if case.name else [])]
    about += [f"persona {case.persona}"] if case.persona else []
    fields = [("gold", case.gold)]
    if case.label is not None:
        fields.append(("label", "right" if case.label else "wrong"))
    for checker, result in case.results.items():
        mark = f"  (mark: {case.mark})" if checker == CHECKERS[0] else ""
        fields.append((checker, f"{describe_result(result)}{mark}"))
    fields.append(("output ends", _tail(case.excerpt)))
    lines = textwrap.wrap(", ".join(about), width)
    for name, text in fields:
        lines += textwrap.wrap(text, width, initial_indent=f"  {name:<13}", subsequent_indent=" " * 15) or [f"  {name}"]
    return lines


def _tail(excerpt: str) -> str:
    """Return the end of an output on one line; line breaks become a return sign."""
    ellipsis = "\u2026" if len(excerpt) > TAIL_CHARS else ""
    return ellipsis + " \u23ce ".join(excerpt[-TAIL_CHARS:].replace("\t", " ").split("\n"))


def describe_result(result: CheckResult) -> str:
    """Describe a result in words, with the extracted answer."""
    word = result.status.replace("_", " ")
    return f"{word}, read {result.pred}" if result.pred else word


def _truncate(text: str, name_width: int) -> str:
    return text if len(text) <= name_width else f"{text[: name_width - 1]}\u2026"
