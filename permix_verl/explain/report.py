"""Explanation of a log as text or JSON."""

from typing import Any

from permix_verl.explain.choosing import Explanation
from permix_verl.explain.signs import Sign

UNKNOWN_CAUSE = "not one of the failures that permix doctor knows; quoted from the log"
UNKNOWN_REMEDY = "read the log from that line on; search the web for its message and the package's name"
OUR_CAUSE = "permix_verl ended the run, for the reason in its message"
OUR_REMEDY = "see the message"
SHOWN_LINES = 6
"""Lines shown of an exception's message."""


def cause_of(sign: Sign) -> str:
    """Return the cause in words."""
    if sign.signature is not None:
        return sign.signature.cause
    return OUR_CAUSE if sign.kind == "ours" else UNKNOWN_CAUSE


def remedy_of(sign: Sign) -> str:
    """Return the remedy."""
    if sign.signature is not None:
        return sign.signature.remedy
    return OUR_REMEDY if sign.kind == "ours" else UNKNOWN_REMEDY


def as_json(explanation: Explanation, log: str, watchdog: str = "") -> dict[str, Any]:
    """Return the explanation for scripts; if nothing failed, ``found`` is false and ``cause`` is null.

    Args:
        log: name of the log.
        watchdog: cause that the watchdog wrote to the run folder, if any.
    """
    return {
        "log": log,
        "found": explanation.cause is not None or bool(watchdog),
        "watchdog": watchdog,
        "cause": _sign(explanation.cause) if explanation.cause else None,
        "consequences": explanation.followed_by,
        "later": [
            {"line": sign.line, "process": sign.process, "said": sign.said} for sign in _first_consequences(explanation)
        ],
        "outlived": [
            {"line": sign.line, "process": sign.process, "said": sign.said} for sign in explanation.outlived[:20]
        ],
        "lines": explanation.length,
    }


def _sign(sign: Sign) -> dict[str, Any]:
    signature = sign.signature
    return {
        "id": signature.id if signature else "ours" if sign.kind == "ours" else None,
        "kind": sign.kind,
        "cause": cause_of(sign),
        "said": sign.said,
        "became": sign.became,
        "process": sign.process,
        "line": sign.line,
        "time": sign.stamp,
        "frame": str(sign.frame) if sign.frame else "",
        "remedy": remedy_of(sign),
        "sources": list(signature.sources) if signature else [],
    }


def _first_consequences(explanation: Explanation) -> tuple[Sign, ...]:
    return tuple(sorted(explanation.consequences, key=lambda sign: sign.line)[:20])


def as_text(explanation: Explanation, log: str, watchdog: str = "") -> str:
    """Return the explanation as lines of label and text; without a cause, describe the log's end.

    Args: as in :func:`as_json`.
    """
    sign = explanation.cause
    notes = [("watchdog", line) for line in _lines(watchdog)[:1]]
    if sign is None:
        return "\n".join([*(f"{name:<10}{text}" for name, text in notes), *_no_cause(explanation, log)])
    rows = [*notes, ("cause", explanation.meaning or cause_of(sign))]
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


def _no_cause(explanation: Explanation, log: str) -> list[str]:
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
        lines.append("if it hangs there, py-spy dump --pid PID shows where each process is")
    return lines
