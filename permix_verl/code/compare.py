"""Comparison of outputs by LiveCodeBench's rules, outside the sandbox.

Standard output: as many lines as expected, each stripped, the whole stripped. A line matches if it is the same text or
the same sequence of decimal numbers, exactly (``1.0`` equals ``1``; 0.30000000000000004 does not equal 0.3). A
function's result: the same JSON value under Python's ``==`` (``1`` equals ``1.0``), a tuple being a list.
"""

import json
from decimal import Decimal, InvalidOperation

_MAX_LENGTH_RATIO = 8
"""An output longer than the expected one by this factor is wrong without a comparison: to match, its numbers would have
to be mostly zeros, and a program must not decide how long a comparison takes."""
_EXTRA_BYTES = 1 << 12


def same_output(expected: str, printed: bytes) -> bool:
    """Return whether a program printed the expected output."""
    printed = printed.strip()
    if len(printed) > _MAX_LENGTH_RATIO * len(expected.encode()) + _EXTRA_BYTES:
        return False
    try:
        text = printed.decode()
    except UnicodeDecodeError:
        return False
    lines, expected_lines = _lines(text), _lines(expected)
    return len(lines) == len(expected_lines) and all(map(_same_line, expected_lines, lines))


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.strip().split("\n")]


def _same_line(expected: str, line: str) -> bool:
    if expected == line:
        return True
    words, expected_words = line.split(), expected.split()
    if len(words) != len(expected_words):
        return False
    try:
        return all(Decimal(one) == Decimal(other) for one, other in zip(expected_words, words, strict=True))
    except InvalidOperation:  # not a number, or a NaN
        return False


def same_value(expected: str, returned: bytes) -> bool:
    """Return whether a function returned the expected value; both are JSON.

    Raises:
        ValueError: the expected value is not JSON.
    """
    try:
        target = json.loads(expected)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if len(returned) > _MAX_LENGTH_RATIO * len(expected.encode()) + _EXTRA_BYTES:
        return False
    try:
        return bool(target == json.loads(returned, parse_constant=_no_number))
    except (ValueError, RecursionError):
        return False


def _no_number(name: str) -> None:
    raise ValueError(f"{name} equals nothing")  # in a list, NaN would equal NaN if it is the same object
