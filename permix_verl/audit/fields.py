"""Field names and values accepted in a row of outputs."""

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
"""Field -> its own name, then the names accepted if that one is missing."""
RIGHT = frozenset({"true", "correct", "right", "yes", "1", "1.0"})
WRONG = frozenset({"false", "incorrect", "wrong", "no", "0", "0.0"})


def check_names(field_names: Mapping[str, str]) -> None:
    """Check the fields named by ``--field``.

    Raises:
        UserError: an unknown field.
    """
    for name in field_names:
        if name not in NAMES:
            raise UserError(f"--field {name}={field_names[name]}: unknown field", f"known: {', '.join(NAMES)}")


def value_of(row: Mapping[str, Any], name: str, field_names: Mapping[str, str], where: str) -> Any:
    """Return a field's value under any of its names; ``None`` if the row has none.

    Args:
        field_names: field -> name given by the user.
        where: file and line, for messages.

    Raises:
        UserError: several names with different values.
    """
    if name in field_names:
        return row.get(field_names[name])
    own, *others = NAMES[name]
    if row.get(own) is not None:
        return row[own]
    present = [other for other in others if row.get(other) is not None]
    if any(row[other] != row[present[0]] for other in present):
        names = " and ".join(map(repr, present))
        raise UserError(f"{where}: {names} may each be the {name}", f"choose one: --field {name}={present[0]}")
    return row[present[0]] if present else None


def text_of(value: Any, role: str) -> str | None:
    """Return a text, or the last message of ``role`` in a chat; ``None`` if the value is neither."""
    if isinstance(value, str):
        return value
    if not isinstance(value, list) or not all(isinstance(message, dict) for message in value):
        return None
    contents = [message.get("content") for message in value if message.get("role") == role]
    if not contents:
        return None
    if isinstance(contents[-1], list):
        return "".join(str(part.get("text", "")) for part in contents[-1] if isinstance(part, dict))
    return contents[-1] if isinstance(contents[-1], str) else None


def question_of(prompt: Any) -> str | None:
    """Return the question: the prompt, or the last user message of a chat (a list or its JSON text)."""
    if isinstance(prompt, str) and prompt.startswith("[{"):
        try:
            return text_of(json.loads(prompt), "user") or prompt
        except (json.JSONDecodeError, RecursionError):
            return prompt
    return text_of(prompt, "user")


def label_of(value: Any) -> bool | None:
    """Parse a label: True for right, False for wrong, ``None`` if empty.

    Raises:
        ValueError: an unknown label.
    """
    word = str(value).strip().lower()
    if value is None or word == "":
        return None
    if word in RIGHT | WRONG:
        return word in RIGHT
    raise ValueError(value)
