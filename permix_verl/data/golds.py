r"""Final answers of the forms in which data sets hold them.

hash         behind the last ``####``, as in GSM8K
boxed        in the last ``\boxed{...}`` of a worked solution, as in MATH
last-number  the last number of a text
field        the field holds nothing else
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

FINAL_ANSWER_MARK = "####"
NO_ANSWERS = frozenset({"proof", "notfound", "not found", "none", "null", "nan", "n/a"})
"""Words that data sets write where a problem has no final answer, in lower case."""

_NUMBER = re.compile(r"-?\$?\s*-?[\d,]*\.?\d+")
_LAST_NUMBER = re.compile(r"(?<![\w.])-?\d{1,3}(?:,\d{3})+(?:\.\d+)?(?!\d)|-?\d+(?:\.\d+)?|-?\.\d+")
_BOX = re.compile(r"\\(?:boxed|fbox)(?![A-Za-z])\s*")
_BARE_BOX = re.compile(r"[^\s$]+")
_DELIMITERS = (("$$", "$$"), ("$", "$"), ("\\(", "\\)"), ("\\[", "\\]"))


def parse_final_answer(solution: str) -> str:
    """Return the text after the last ``####``, without separators and ``$`` if it is a number.

    Raises:
        ValueError: no ``####``, or nothing after it.
    """
    _, mark, tail = solution.rpartition(FINAL_ANSWER_MARK)
    if not mark:
        raise ValueError(f"no {FINAL_ANSWER_MARK!r} before the final answer")
    tail = tail.strip().rstrip(".")
    if _NUMBER.fullmatch(tail):
        tail = re.sub(r"[,$\s]", "", tail)
    if not tail:
        raise ValueError(f"nothing after {FINAL_ANSWER_MARK!r}")
    return tail


def boxed_answer(solution: str) -> str:
    r"""Return the content of the last ``\boxed{...}`` or ``\fbox{...}``; of ``\boxed 5``, the next word.

    Raises:
        ValueError: no box, an empty one, or one that is not closed.
    """
    boxes = list(_BOX.finditer(solution))
    if not boxes:
        raise ValueError("no \\boxed{...}")
    start = boxes[-1].end()
    if solution[start : start + 1] != "{":
        word = _BARE_BOX.match(solution, start)
        content = word[0].rstrip(".,") if word else ""
    else:
        content = _braced(solution, start)
    if not content.strip():
        raise ValueError("an empty \\boxed{}")
    return content.strip()


def _braced(text: str, start: int) -> str:
    depth, position = 0, start
    while position < len(text):
        if text[position] == "\\":
            position += 1  # an escaped brace is a character
        elif text[position] == "{":
            depth += 1
        elif text[position] == "}":
            depth -= 1
            if depth == 0:
                return text[start + 1 : position]
        position += 1
    raise ValueError("a \\boxed{ that is not closed")


def last_number(text: str) -> str:
    """Return the last number of a text, without thousands separators.

    Raises:
        ValueError: no number.
    """
    numbers = _LAST_NUMBER.findall(text)
    if not numbers:
        raise ValueError("no number")
    return str(numbers[-1]).replace(",", "")


def whole_field(text: str) -> str:
    r"""Return a final answer that is all of its field, out of ``$...$``, ``\(...\)`` or ``\boxed{...}`` around it.

    Raises:
        ValueError: an empty field, or a word for no answer.
    """
    answer = text.strip()
    for left, right in _DELIMITERS:
        inner = answer[len(left) : -len(right)]
        if answer.startswith(left) and answer.endswith(right) and inner.strip() and left not in inner:
            answer = inner.strip()
            break
    box = _BOX.match(answer)
    if box and answer[box.end() : box.end() + 1] == "{" and f"{box[0]}{{{_braced(answer, box.end())}}}" == answer:
        answer = _braced(answer, box.end()).strip()
    if not answer:
        raise ValueError("empty")
    if answer.casefold() in NO_ANSWERS:
        raise ValueError(f"{answer!r} stands for no answer")
    return answer


GOLD_FORMS: Mapping[str, Callable[[str], str]] = {
    "boxed": boxed_answer,
    "last-number": last_number,
    "hash": parse_final_answer,
    "field": whole_field,
}
"""Form -> function from a field's text to the bare final answer; it raises ``ValueError`` with the reason."""


def gold_text(value: Any) -> str:
    """Return an answer field's value as text: texts, and numbers as they are written.

    Raises:
        ValueError: a missing value, or one of another type.
    """
    if value is None:
        raise ValueError("empty")
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(f"{type(value).__name__}, neither a text nor a number")
    text = str(value)
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"not valid Unicode ({error})") from None
    return text


def guess_form(value: Any) -> str:
    r"""Return the form of an answer field from its first value: ``####``, a box in a longer text, or the answer."""
    text = value if isinstance(value, str) else ""
    if FINAL_ANSWER_MARK in text:
        return "hash"
    box = _BOX.search(text)
    return "boxed" if box and box.start() > 0 else "field"
