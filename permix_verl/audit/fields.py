"""What a row's fields may be called, and what their values may be."""

import json
from collections.abc import Mapping
from typing import Any

from permix_verl.errors import UserError

NAMES: dict[str, tuple[str, ...]] = {
    "output": ("output", "solution", "response", "completion"),
    "gold": ("gold", "answer", "ground_truth", "gold_answer", "target"),
    "label": ("label", "is_correct", "correct"),
    "prompt": ("prompt", "question"),
    "persona": ("persona",),
}
"""For each field its own name, and others that count where that is not there."""
RIGHT = frozenset({"true", "correct", "right", "yes", "1", "1.0"})
WRONG = frozenset({"false", "incorrect", "wrong", "no", "0", "0.0"})


def check_names(given: Mapping[str, str]) -> None:
    """Refuse a setting of a field that there is not.

    Raises:
        UserError: which one, and those that there are.
    """
    for name in given:
        if name not in NAMES:
            raise UserError(f"--field {name}={given[name]}: no such field; known: {', '.join(NAMES)}")


def value_of(row: Mapping[str, Any], name: str, given: Mapping[str, str], where: str) -> Any:
    """The value of a field, under whichever of its names it has; ``None`` where the row has none.

    Args:
        given: field -> the name that the user says it has.
        where: file and line, for messages.

    Raises:
        UserError: several names with different values.
    """
    if name in given:
        return row.get(given[name])
    own, *others = NAMES[name]
    if row.get(own) is not None:
        return row[own]
    there = [other for other in others if row.get(other) is not None]
    if any(row[other] != row[there[0]] for other in there):
        raise UserError(
            f"{where}: {' and '.join(map(repr, there))} may each be the {name}; say which: --field {name}={there[0]}"
        )
    return row[there[0]] if there else None


def text_of(value: Any, role: str) -> str | None:
    """A text, or the last message of this role in a chat; ``None`` where it is neither."""
    if isinstance(value, str):
        return value
    if not isinstance(value, list) or not all(isinstance(message, dict) for message in value):
        return None
    said = [message.get("content") for message in value if message.get("role") == role]
    if not said:
        return None
    if isinstance(said[-1], list):
        return "".join(str(part.get("text", "")) for part in said[-1] if isinstance(part, dict))
    return said[-1] if isinstance(said[-1], str) else None


def question_of(prompt: Any) -> str | None:
    """What the user asks: the prompt, or the last user message of a chat, which may be written as JSON."""
    if isinstance(prompt, str) and prompt.startswith("[{"):
        try:
            return text_of(json.loads(prompt), "user") or prompt
        except (json.JSONDecodeError, RecursionError):
            return prompt
    return text_of(prompt, "user")


def label_of(value: Any) -> bool | None:
    """Whether another judge calls the output right; ``None`` where there is no label.

    Raises:
        ValueError: no such label.
    """
    word = str(value).strip().lower()
    if value is None or word == "":
        return None
    if word in RIGHT | WRONG:
        return word in RIGHT
    raise ValueError(value)
