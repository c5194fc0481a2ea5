"""Is this output the one wanted? LiveCodeBench's rules, outside of the program's reach.

Standard output: lines, without white space around each and around the whole, as many as wanted; a line is right if
it is the same text, or the same sequence of decimal numbers, exactly (``1.0`` is ``1``; 0.30000000000000004 is not
0.3). A function: the same JSON value, with Python's ``==`` (``1`` is ``1.0``), a tuple being a list.
"""

import json
from decimal import Decimal, InvalidOperation

_MOST = 8
"""An output so many times as long as the one wanted is not looked at: its numbers would have to be zeros for the most
part, and what a program prints should not decide how long a comparison takes."""
_MARGIN = 1 << 12


def same_output(wanted: str, printed: bytes) -> bool:
    """Whether a program printed what was wanted."""
    printed = printed.strip()
    if len(printed) > _MOST * len(wanted.encode()) + _MARGIN:
        return False
    try:
        text = printed.decode()
    except UnicodeDecodeError:
        return False
    lines, wanted_lines = _lines(text), _lines(wanted)
    return len(lines) == len(wanted_lines) and all(map(_same_line, wanted_lines, lines))


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.strip().split("\n")]


def _same_line(wanted: str, line: str) -> bool:
    if wanted == line:
        return True
    words, wanted_words = line.split(), wanted.split()
    if len(words) != len(wanted_words):
        return False
    try:
        return all(Decimal(one) == Decimal(other) for one, other in zip(wanted_words, words, strict=True))
    except InvalidOperation:  # no number, or one that compares with nothing
        return False


def same_value(wanted: str, returned: bytes) -> bool:
    """Whether a function returned what was wanted; both as JSON.

    Raises:
        ValueError: what is wanted is no JSON.
    """
    try:
        target = json.loads(wanted)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if len(returned) > _MOST * len(wanted.encode()) + _MARGIN:
        return False
    try:
        return bool(target == json.loads(returned, parse_constant=_no_number))
    except (ValueError, RecursionError):
        return False


def _no_number(name: str) -> None:
    raise ValueError(f"{name} equals nothing")  # but one NaN is the same object as another, and a list would say so
