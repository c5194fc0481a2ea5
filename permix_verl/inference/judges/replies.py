"""Strict parsing of judges' replies: one JSON object of the requested form.

No score is searched for in running text. A reply of another form gets a status that says so.
"""

import json
import re
from typing import Any, Literal, TypeVar

Status = Literal["scored", "refused", "rejected", "cut", "malformed", "out_of_range"]
"""Status of a reply:

- ``scored``: it has a score or choice;
- ``refused``: the judge declined to give one;
- ``rejected``: its server declined the request (prompt too long, content policy);
- ``cut``: truncated at the token limit;
- ``malformed``: not of the requested form;
- ``out_of_range``: a score or choice outside the scale.
"""

FINAL_STATUSES: frozenset[Status] = frozenset({"scored", "refused", "rejected"})
"""Statuses after which the question is not asked again."""

_Value = TypeVar("_Value", int, str)
_FENCED = re.compile(r"```(?:json)?\s*\n(.*)\n\s*```", re.DOTALL)


def read_json(reply: str) -> dict[str, Any] | None:
    """Parse a reply that is one JSON object, bare or in a Markdown code fence; ``None`` for any other reply.

    A thought that ends with ``</think>`` is left out.
    """
    text = reply.rpartition("</think>")[2].strip()
    fence = _FENCED.fullmatch(text)
    try:
        content = json.loads(fence[1] if fence else text, object_pairs_hook=_unique_fields)
    except (ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


def read_score(reply: str, finish_reason: str, lowest: int, highest: int) -> tuple[Status, int | None]:
    """Parse status and score of a reply ``{"reason": text, "score": integer or null}``."""
    status, score = _read(reply, finish_reason, "score", int)
    return (status, score) if score is None or lowest <= score <= highest else ("out_of_range", None)


def read_choice(reply: str, finish_reason: str) -> tuple[Status, str | None]:
    """Parse status and choice of a reply ``{"reason": text, "choice": "first", "second", "tie" or null}``."""
    status, choice = _read(reply, finish_reason, "choice", str)
    return (status, choice) if choice is None or choice in ("first", "second", "tie") else ("out_of_range", None)


def _read(reply: str, finish_reason: str, name: str, kind: type[_Value]) -> tuple[Status, _Value | None]:
    """Parse a reply with a reason, a value of this name and type, and no other field."""
    if finish_reason == "length":
        return "cut", None
    content = read_json(reply)
    if content is None or set(content) != {"reason", name} or not isinstance(content["reason"], str):
        return "malformed", None
    value = content[name]
    if value is None:
        return "refused", None
    return ("scored", value) if isinstance(value, kind) and not isinstance(value, bool) else ("malformed", None)


def reply_schema(name: str, values: list[Any], kind: str) -> dict[str, Any]:
    """Return the JSON schema of a reply: first the reason, then the value."""
    return {
        "type": "object",
        "properties": {
            "reason": {"type": "string"},
            name: {"type": [kind, "null"], "enum": [*values, None]},
        },
        "required": ["reason", name],
        "additionalProperties": False,
    }


def _unique_fields(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        raise ValueError("duplicate field")
    return content
