"""An explanation in words, or as JSON."""

from typing import Any

from permix_verl.explain.choosing import Explanation
from permix_verl.explain.signs import Sign

NOT_KNOWN = "not one of the failures that permix doctor knows; here it is as the log has it"
ANY_REMEDY = "read on from that line of the log; its words and the package's name often find a thread"
OURS = "permix_verl itself ended the run, for the reason in its message"
OURS_REMEDY = "the message says it"
SHOWN_LINES = 6
"""Lines of an exception's text that are shown."""


def cause_of(sign: Sign) -> str:
    """In words."""
    if sign.signature is not None:
        return sign.signature.cause
    return OURS if sign.kind == "ours" else NOT_KNOWN


def remedy_of(sign: Sign) -> str:
    """What to do."""
    if sign.signature is not None:
        return sign.signature.remedy
    return OURS_REMEDY if sign.kind == "ours" else ANY_REMEDY


def as_json(explanation: Explanation, log: str, watchdog: str = "") -> dict[str, Any]:
    """Everything, for scripts; ``found`` is false where nothing failed, and ``cause`` is null then.

    Args:
        explanation: of the log.
        log: where it was read.
        watchdog: the cause that a run's watchdog left in its folder.
    """
    return {
        "log": log,
        "found": explanation.cause is not None or bool(watchdog),
        "watchdog": watchdog,
        "cause": _sign(explanation.cause) if explanation.cause else None,
        "consequences": explanation.followed_by,
        "later": [{"line": sign.line, "process": sign.process, "said": sign.said} for sign in _some(explanation)],
        "outlived": [
            {"line": sign.line, "process": sign.process, "said": sign.said} for sign in explanation.outlived[:20]
        ],
        "lines": explanation.length,
    }


def _sign(sign: Sign) -> dict[str, Any]:
    known = sign.signature
    return {
        "id": known.id if known else "ours" if sign.kind == "ours" else None,
        "kind": sign.kind,
        "cause": cause_of(sign),
        "said": sign.said,
        "became": sign.became,
        "process": sign.process,
        "line": sign.line,
        "time": sign.stamp,
        "frame": str(sign.frame) if sign.frame else "",
        "remedy": remedy_of(sign),
        "sources": list(known.sources) if known else [],
    }


def _some(explanation: Explanation) -> tuple[Sign, ...]:
    return tuple(sorted(explanation.consequences, key=lambda sign: sign.line)[:20])


def as_text(explanation: Explanation, log: str, watchdog: str = "") -> str:
    """Lines of a name and what it says; without a cause what can be said of the log's end.

    Args: as of :func:`as_json`.
    """
    sign = explanation.cause
    noted = [("watchdog", line) for line in _lines(watchdog)[:1]]
    if sign is None:
        return "\n".join([*(f"{name:<10}{text}" for name, text in noted), *_nothing(explanation, log)])
    rows = [*noted, ("cause", cause_of(sign))]
    rows += [("said" if number == 0 else "", line) for number, line in enumerate(_lines(sign.said))]
    if sign.became:
        rows.append(("raised on", _lines(sign.became)[0]))
    rows.append(("process", sign.process or "the main one"))
    rows.append(("where", f"line {sign.line} of {log}" + (f", {sign.frame}" if sign.frame else "")))
    if sign.stamp:
        rows.append(("when", sign.stamp))
    rows.append(("follows", _followers(explanation)))
    if explanation.outlived:
        rows.append(("before", f"{len(explanation.outlived)} errors that the run outlived"))
    rows.append(("remedy", remedy_of(sign)))
    if sign.signature:
        rows.append(("sources", ", ".join(sign.signature.sources)))
    return "\n".join(f"{name:<10}{text}".rstrip() for name, text in rows)


def _lines(text: str) -> list[str]:
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[:SHOWN_LINES] + (["..."] if len(lines) > SHOWN_LINES else [])


def _followers(explanation: Explanation) -> str:
    signs = sorted(explanation.consequences, key=lambda sign: sign.line)
    if not signs:
        return "no other error"
    processes = len({sign.printed_by for sign in signs})
    count = explanation.followed_by
    return (
        f"{count} other error{'s' if count > 1 else ''}, of {processes} process{'es' if processes > 1 else ''}; "
        f"the last, line {signs[-1].line}: {_lines(signs[-1].said)[0][:160]}"
    )


def _nothing(explanation: Explanation, log: str) -> list[str]:
    lines = [f"no failure found in {explanation.length} lines of {log}"]
    if explanation.outlived:
        first = explanation.outlived[0]
        lines.append(
            f"outlived  {len(explanation.outlived)} errors that the run went on after; the first, line {first.line}: "
            f"{_lines(first.said)[0][:160]}"
        )
    if explanation.ending is not None:
        end = explanation.ending
        lines.append(f"ends with line {end.number}{f' of {end.process}' if end.process else ''}: {end.text[:160]}")
        lines.append("if it stands still there, py-spy dump --pid PID shows where each process is")
    return lines
