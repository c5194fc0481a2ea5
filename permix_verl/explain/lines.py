"""A line of a log, taken apart: who wrote it, when, and what is left once every prefix is gone.

Prefixes are laid over each other: Ray names an actor, the actor is a vLLM server that names its engine, and the
engine's logger adds a level and a time.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

LONGEST = 8000
"""Characters of a line that are read; dumps of a whole configuration are longer, and say nothing at their end."""

_ESCAPES = re.compile(r"(?:\x1b|\^\[|\bESC)\[[0-9;?]*[A-Za-z]")  # as they are, and as they are pasted
_DATE = r"(?P<stamp>\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(?:[.,]\d+)?)"
_LEVEL = r"(?P<level>DEBUG|INFO|WARN|WARNING|ERROR|CRITICAL|FATAL)"
_PROCESS = re.compile(
    r"\((?P<who>(?:[^()\n]|\([^()\n]*\))*?pid=\w+(?:, ip=[^)\n]+)?|raylet(?:, ip=[^)\n]+)?|gcs_server|"
    r"autoscaler(?=[^)\n]*\)))[^)\n]*\) ?"
)
_RANK = re.compile(r"\[(?P<who>(?:rank|default)\d+)\]: ?")
_HEADERS = tuple(
    re.compile(pattern)
    for pattern in (
        r"[\w.-]+ +\| (?=DEBUG|INFO|WARN|ERROR|CRITICAL|Traceback|  |\(|\[|\d{4}-)",  # docker compose
        r"[A-Z][a-z]{2} +\d+ \d\d:\d\d:\d\d \S+ \S+\[\d+\]: ",  # the journal
        rf"(?:[A-Z]+) {_DATE}Z \[resource\.labels[^\]]*\] ?",  # a cloud's, whose level is its own
        r"[>\u2502] (?=[A-Z(\[]|  )",  # quoted, or out of a box
        # Numbered, as grep -n and cat -n do.
        r"\[?\d{1,7}\]?[: ](?=  File \"|    \S|Traceback \(|[\w.]+(?:Error|Exception)\b|ray::|The above |During hand)",
        rf"{_LEVEL} (?P<stamp>\d\d-\d\d \d\d:\d\d:\d\d) \[?(?P<source>[\w./-]+:\d+)\] ?",  # vLLM
        rf"{_LEVEL}:{_DATE}:",  # verl
        rf"\[{_DATE}\]\[(?P<source>[^\]]*)\]\[{_LEVEL}\] - ",  # Hydra
        rf"{_DATE}\t{_LEVEL} (?P<source>\S+:\d+) -- ",  # Ray, Python
        rf"\[{_DATE} (?P<letter>[DIWEFC]) \d+ \d+\] (?:\(\w+\) )?(?P<source>\S+?:\d+): ?",  # Ray, C++
        r"\[?(?P<letter>[IWEF])(?P<stamp>\d{3,4} \d\d:\d\d:\d\d\.\d+) (?:\d+ )?(?P<source>[^\]\n]+?:\d+)\] ?",  # torch
        rf"{_DATE} - (?:[\w.]+ - )?{_LEVEL} - (?:[\w.]+ - )?",
        rf"{_DATE} \| {_LEVEL} +\| (?:\w+ \| )?",
        rf"{_LEVEL}:(?P<source>[\w.]+):",
        rf"\[{_DATE}Z?\] ?",  # a collector of logs, before the line itself
        rf"{_DATE}Z (?:std(?:out|err) F )?",
    )
)
_LETTERS = {
    "D": "DEBUG",
    "I": "INFO",
    "W": "WARNING",
    "E": "ERROR",
    "F": "CRITICAL",
    "C": "CRITICAL",
    "WARN": "WARNING",
}
_REPEATED = re.compile(r" ?\[repeated (\d+)x across cluster\].*$")
_NUMBERS = re.compile(r"\d+")
_YEAR = re.compile(r"^\d{4}-")


@dataclass(frozen=True, slots=True)
class Line:
    """One line.

    Attributes:
        number: in the log, from 1.
        process: who wrote it, as the log names it; the inner one last; "" for whoever wrote without a name.
        level: of its logger, "" without one.
        source: file and line of that logger's call, "" where the log has none.
        stamp: the time as it is printed, "" without one.
        seconds: the same within a year, to compare; ``None`` without one.
        repeated: how often Ray saw it; it prints one of them.
        text: what is left.
    """

    number: int
    process: str
    level: str
    source: str
    stamp: str
    seconds: float | None
    repeated: int
    text: str


def take_apart(number: int, raw: str) -> Line:
    """One line of a log; of a progress bar's line, what it showed last."""
    text = raw[:LONGEST].rstrip("\r\n")
    if "[" in text:
        text = _ESCAPES.sub("", text)
    text = text.rpartition("\r")[2]
    repeated = 1
    if "[repeated" in text and (found := _REPEATED.search(text)):
        repeated, text = int(found[1]), text[: found.start()]
    processes: list[str] = []
    level = source = stamp = ""
    searching = True
    while searching and not text[:1].isspace():  # a line that begins with a space goes on, and has no prefix
        searching = False
        for pattern in (_PROCESS, _RANK):
            if text[:1] in "([" and (found := pattern.match(text)):
                processes.append(found["who"])
                text, searching = text[found.end() :], True
        for pattern in () if searching else _HEADERS:
            if found := pattern.match(text):
                values = {name: value for name, value in found.groupdict().items() if value}
                named = values.get("level") or values.get("letter") or level
                level = _LETTERS.get(named, named)
                source, stamp = values.get("source", source), values.get("stamp", stamp)
                text, searching = text[found.end() :], True
                break
    return Line(number, " > ".join(processes), level, source, stamp, _seconds(stamp), repeated, text)


def lines_of(raw: Iterable[str]) -> Iterator[Line]:
    """Every line of a log, in order."""
    for number, line in enumerate(raw, 1):
        yield take_apart(number, line)


def _seconds(stamp: str) -> float | None:
    """Within a year, with months of 31 days: only compared, never shown."""
    if not stamp:
        return None
    if " " in stamp and "-" not in stamp:  # torch: MMDD hh:mm:ss
        day, _, clock = stamp.partition(" ")
        stamp = f"{day.zfill(4)[:2]}-{day.zfill(4)[2:]} {clock}"
    month, day_of_month, hour, minute, second, *rest = _NUMBERS.findall(_YEAR.sub("", stamp))
    fraction = float(f"0.{rest[0]}") if rest else 0.0
    days = 31 * int(month) + int(day_of_month)
    return ((days * 24 + int(hour)) * 60 + int(minute)) * 60 + int(second) + fraction
