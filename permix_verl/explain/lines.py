"""Parser of log lines: process, level, time, and the text without prefixes.

Prefixes are nested: Ray names an actor, the actor is a vLLM server that names its engine, and the engine's logger adds
a level and a time.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

MAX_CHARS = 8000
"""Characters read of a line; only dumps of a configuration are longer."""

_ESCAPES = re.compile(r"(?:\x1b|\^\[|\bESC)\[[0-9;?]*[A-Za-z]")  # raw, and as they look when pasted
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
        rf"(?:[A-Z]+) {_DATE}Z \[resource\.labels[^\]]*\] ?",  # a cloud's log, with a level of its own
        r"[>\u2502] (?=[A-Z(\[]|  )",  # quoted, or in a box
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
        rf"\[{_DATE}Z?\] ?",  # a log collector's prefix
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
    """One line of a log. Missing parts are "".

    Attributes:
        number: line number, from 1.
        process: the process as the log names it; the inner one last.
        level: log level.
        source: file and line of the logging call.
        stamp: time as printed.
        seconds: time in seconds from the year's begin, for comparison; ``None`` without a time.
        repeated: number of times that Ray received the line, which it prints once.
        text: text without prefixes.
    """

    number: int
    process: str
    level: str
    source: str
    stamp: str
    seconds: float | None
    repeated: int
    text: str


def parse_line(number: int, raw: str) -> Line:
    """Parse one line; of a progress bar's line, use its last state."""
    text = raw[:MAX_CHARS].rstrip("\r\n")
    if "[" in text:
        text = _ESCAPES.sub("", text)
    text = text.rpartition("\r")[2]
    repeated = 1
    if "[repeated" in text and (match := _REPEATED.search(text)):
        repeated, text = int(match[1]), text[: match.start()]
    processes: list[str] = []
    level = source = stamp = ""
    searching = True
    while searching and not text[:1].isspace():  # an indented line continues another and has no prefix
        searching = False
        for pattern in (_PROCESS, _RANK):
            if text[:1] in "([" and (match := pattern.match(text)):
                processes.append(match["who"])
                text, searching = text[match.end() :], True
        for pattern in () if searching else _HEADERS:
            if match := pattern.match(text):
                values = {name: value for name, value in match.groupdict().items() if value}
                named = values.get("level") or values.get("letter") or level
                level = _LETTERS.get(named, named)
                source, stamp = values.get("source", source), values.get("stamp", stamp)
                text, searching = text[match.end() :], True
                break
    return Line(number, " > ".join(processes), level, source, stamp, _seconds(stamp), repeated, text)


def parse_log_lines(raw: Iterable[str]) -> Iterator[Line]:
    """Parse the lines of a log, in order."""
    for number, line in enumerate(raw, 1):
        yield parse_line(number, line)


def _seconds(stamp: str) -> float | None:
    """Return seconds from the year's begin, with months of 31 days; for comparison only."""
    if not stamp:
        return None
    if " " in stamp and "-" not in stamp:  # torch: MMDD hh:mm:ss
        day, _, clock = stamp.partition(" ")
        stamp = f"{day.zfill(4)[:2]}-{day.zfill(4)[2:]} {clock}"
    month, day_of_month, hour, minute, second, *rest = _NUMBERS.findall(_YEAR.sub("", stamp))
    fraction = float(f"0.{rest[0]}") if rest else 0.0
    days = 31 * int(month) + int(day_of_month)
    return ((days * 24 + int(hour)) * 60 + int(minute)) * 60 + int(second) + fraction
