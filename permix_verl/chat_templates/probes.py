"""Chats with which a template is tried, and texts that show whether it keeps what it is given word for word."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

Chat = Sequence[Mapping[str, Any]]

PERSONAS = (
    "You are a lighthouse keeper who counts in knots.",
    'You are Prof. Ada {Lovelace}, 40 % "poet" & $2 theorist.\n\nYou like {{ braces }}, {% tags %} and `code`:\n'
    "  - **first**, \\boxed{7}\n  - 'second', <b>bold</b>, 50 \N{EURO SIGN}\n\nYou never use tabs.",
)
"""A plain persona; one of several paragraphs with Jinja, Markdown, HTML, quotes, indents and LaTeX."""
QUESTION = (
    "A jar holds {n} = 12 beans; \\frac{1}{2} of {{ them }} weigh $5.00 & {% more %}.\n\n"
    "  How many are <i>left</i>?\n\nPut your final answer within \\boxed{}."
)
FOLLOW_UP = "And how many of the other beans?"
ANSWER = "The jar keeps 42 beans."

_MARK = re.compile(
    r"<\|[^|<>\s'\"{}]{1,40}\|?>|<[^<>\s'\"{}=/%|]{1,30}\|>|<\uff5c[^<>\s'\"{}]{1,40}\uff5c>|</?[A-Za-z_][\w:.-]{0,30}>"
    r"|\[/?[A-Za-z][A-Za-z_]{1,30}\]|\u25c1/?\w+\u25b7|<<SYS>>|<</SYS>>|\[e~\[|\]~!b\[|\]~b\]"
)
_ROLES = frozenset({"system", "user", "assistant", "human", "model", "developer", "bot", "ai", "instruction", "source"})


def user(text: str = QUESTION) -> dict[str, Any]:
    return {"role": "user", "content": text}


def system(text: str) -> dict[str, Any]:
    return {"role": "system", "content": text}


def assistant(text: str = ANSWER) -> dict[str, Any]:
    return {"role": "assistant", "content": text}


BARE: Chat = (user(),)
SEVERAL: Chat = (user(), assistant(), user(FOLLOW_UP))
CHATS: Sequence[Chat] = (
    BARE,
    *((system(persona), user()) for persona in PERSONAS),
    SEVERAL,
    (system(PERSONAS[0]), *SEVERAL),
)
"""Chats with and without a persona, of one turn and of several."""


def marks(text: str) -> list[str]:
    """Return what looks like a special token, in order."""
    return _MARK.findall(text)


def split_marks(text: str) -> list[tuple[str, bool]]:
    """Return the text in pieces, each with whether it looks like a special token."""
    pieces, end = [], 0
    for found in _MARK.finditer(text):
        if found.start() > end:
            pieces.append((text[end : found.start()], False))
        pieces.append((found[0], True))
        end = found.end()
    return [*pieces, (text[end:], False)] if end < len(text) else pieces


def words(text: str, known: str = "") -> str:
    """Return a text without marks, in one line; empty if it says no more than names of roles.

    Args:
        known: text whose words count for nothing: what opens a turn.
    """
    left = _MARK.sub(" ", text)
    named = {word.lower() for word in re.findall(r"[^\W\d_]{2,}", left)}
    return " ".join(left.split()) if named - _ROLES - {word.lower() for word in re.findall(r"\w+", known)} else ""


def common_suffix(one: str, other: str) -> str:
    """Return the longest text with which both end."""
    length = 0
    while length < min(len(one), len(other)) and one[-1 - length] == other[-1 - length]:
        length += 1
    return one[len(one) - length :]
