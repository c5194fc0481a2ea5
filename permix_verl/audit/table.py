"""What the terminal shows: counts in columns, then the cases in which the judges differ."""

import textwrap
from collections.abc import Mapping, Sequence

from permix_verl.audit.counts import Counts, Tally
from permix_verl.audit.verdicts import AGREED, JUDGES, KINDS, Case, Verdict
from permix_verl.report.formatting import counted, percent

TAIL_CHARS = 200
"""Of an output, shown with its case."""
GROUPS = 20
"""Most personas in the table."""
_NARROWEST = 12


def counts_text(overall: Counts, marks: Mapping[str, Counts], personas: Mapping[str, Counts], width: int) -> str:
    """The table: a row for all outputs, for each mark and for each persona; three blocks of columns, one a judge."""
    labelled = overall.labelled > 0
    groups: list[tuple[str, Counts | None]] = [("all", overall), ("by mark", None)]
    groups += [(f"  {name}", counts) for name, counts in marks.items()]
    if set(personas) != {""}:
        groups.append(("by persona", None))
        groups += [(f"  {name or '(none)'}", counts) for name, counts in list(personas.items())[:GROUPS]]
    heads = ["right", "none", *(("lost", "false") if labelled else ())]
    rows = [["answers", *(head for _ in JUDGES for head in heads)]]
    rows += [_cells(counts, labelled) if counts else [] for _, counts in groups]
    widths = [max(len(row[place]) for row in rows if row) for place in range(len(rows[0]))]
    for place in range(1, len(widths), len(heads)):  # the name of a judge stands over its columns
        widths[place] = max(widths[place], 5) + 2
    room = max(_NARROWEST, width - sum(widths) - len(widths) - 1)
    names = ["", *(_cut(name, room) for name, _ in groups)]
    longest = max(map(len, names))
    blocks = [sum(widths[place : place + len(heads)]) + len(heads) for place in range(1, len(widths), len(heads))]
    over = " " * (longest + 1 + widths[0]) + "".join(map(str.rjust, JUDGES, blocks))
    lines = [
        " ".join([name.ljust(longest), *map(str.rjust, row, widths)]).rstrip()
        for name, row in zip(names, rows, strict=True)
    ]
    return "\n".join([over, *lines, "", *_notes(overall, len(personas), width)])


def _cells(counts: Counts, labelled: bool) -> list[str]:
    cells = [str(counts.answers)]
    for tally in counts.judges.values():
        cells += [percent(tally.statuses[status] / counts.answers) for status in ("correct", "no_answer")]
        if labelled:
            cells += [str(tally.lost), str(tally.credited)]
    return cells


def legend(overall: Counts) -> str:
    """What the columns are."""
    text = "Right: credited, % of the answers. None: no answer read, %."
    if not overall.labelled:
        return text
    return (
        f"{text} Lost: of {counted(overall.right, 'answer')} labelled right, those not credited. False: of "
        f"{counted(overall.wrong, 'answer')} labelled wrong, those credited."
    )


def _notes(overall: Counts, personas: int, width: int) -> list[str]:
    notes = [legend(overall)]
    for judge, tally in overall.judges.items():
        if failed := _failures(tally):
            notes.append(f"No verdict of {judge}: {failed}; these are not credited.")
    if personas > GROUPS:
        notes.append(f"{personas - GROUPS} more personas, with fewer differences, stand in --out.")
    return [line for note in notes for line in textwrap.wrap(note, width)]


def _failures(tally: Tally) -> str:
    return ", ".join(counted(tally.statuses[kind], kind) for kind in ("timeout", "error") if tally.statuses[kind])


def cases_text(cases: Sequence[Case], overall: Counts, width: int) -> str:
    """The cases, each under its kind of difference.

    Args:
        cases: those to show, by kind.
        overall: counts of all outputs.
    """
    lines = [f"{counted(overall.differences, 'difference')} in {counted(overall.answers, 'answer')}"]
    lines += [f"{overall.kinds[kind]:>7}  {what}" for kind, what in KINDS.items() if kind != AGREED]
    shown: dict[str, list[Case]] = {}
    for case in cases:
        shown.setdefault(case.kind, []).append(case)
    for kind, those in shown.items():
        title = f"{KINDS[kind]}: {len(those)} of {overall.kinds[kind]}"
        lines += ["", title, "-" * min(len(title), width)]
        lines += [line for case in those for line in ("", *_case_lines(case, width))][1:]
    return "\n".join(lines)


def _case_lines(case: Case, width: int) -> list[str]:
    about = [f"{case.file}, line {case.line}", *([f"id {case.name}"] if case.name else [])]
    about += [f"persona {case.persona}"] if case.persona else []
    fields = [("gold", case.gold)]
    if case.label is not None:
        fields.append(("label", "right" if case.label else "wrong"))
    for judge, verdict in case.verdicts.items():
        mark = f"  (mark: {case.mark})" if judge == JUDGES[0] else ""
        fields.append((judge, f"{read(verdict)}{mark}"))
    fields.append(("output ends", _tail(case.excerpt)))
    lines = textwrap.wrap(", ".join(about), width)
    for name, text in fields:
        lines += textwrap.wrap(text, width, initial_indent=f"  {name:<13}", subsequent_indent=" " * 15) or [f"  {name}"]
    return lines


def _tail(excerpt: str) -> str:
    """The end of an output in one line, with signs where it has line breaks."""
    cut = "\u2026" if len(excerpt) > TAIL_CHARS else ""
    return cut + " \u23ce ".join(excerpt[-TAIL_CHARS:].replace("\t", " ").split("\n"))


def read(verdict: Verdict) -> str:
    """A verdict in words, with the answer that was read."""
    word = verdict.status.replace("_", " ")
    return f"{word}, read {verdict.pred}" if verdict.pred else word


def _cut(text: str, room: int) -> str:
    return text if len(text) <= room else f"{text[: room - 1]}\u2026"
