"""Judges' replies, read strictly: one JSON object of the form that was asked for, or nothing.

No number is looked for in running text. A reply that is not of that form is counted for what it is.
"""

import json
import re
from typing import Any, Literal, TypeVar

Status = Literal["scored", "refused", "rejected", "cut", "malformed", "out_of_range"]
"""Of a reply: it has a score; the judge would not give one; its server would not take the request (too long a prompt, a
content policy); it was cut off; it is not of the form; no such score."""

FINAL: frozenset[Status] = frozenset({"scored", "refused", "rejected"})
"""Asking again is of no use."""

_Verdict = TypeVar("_Verdict", int, str)
_FENCED = re.compile(r"```(?:json)?\s*\n(.*)\n\s*```", re.DOTALL)


def read_json(reply: str) -> dict[str, Any] | None:
    """The JSON object that a reply is, or ``None``; a Markdown fence around the whole of it is let pass."""
    text = reply.strip()
    fence = _FENCED.fullmatch(text)
    try:
        found = json.loads(fence[1] if fence else text, object_pairs_hook=_without_twins)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def read_score(reply: str, finish_reason: str, lowest: int, highest: int) -> tuple[Status, int | None]:
    """Status and score of a reply ``{"reason": text, "score": whole number or null}``."""
    status, score = _read(reply, finish_reason, "score", int)
    return (status, score) if score is None or lowest <= score <= highest else ("out_of_range", None)


def read_choice(reply: str, finish_reason: str) -> tuple[Status, str | None]:
    """Status and choice of a reply ``{"reason": text, "choice": "first", "second", "tie" or null}``."""
    status, choice = _read(reply, finish_reason, "choice", str)
    return (status, choice) if choice is None or choice in ("first", "second", "tie") else ("out_of_range", None)


def _read(reply: str, finish_reason: str, name: str, kind: type[_Verdict]) -> tuple[Status, _Verdict | None]:
    """A reply with a reason, a verdict of this name and kind, and nothing else."""
    if finish_reason == "length":
        return "cut", None
    found = read_json(reply)
    if found is None or set(found) != {"reason", name} or not isinstance(found["reason"], str):
        return "malformed", None
    verdict = found[name]
    if verdict is None:
        return "refused", None
    return ("scored", verdict) if isinstance(verdict, kind) and not isinstance(verdict, bool) else ("malformed", None)


def reply_schema(name: str, values: list[Any], kind: str) -> dict[str, Any]:
    """JSON schema of a reply, the reason before the verdict."""
    return {
        "type": "object",
        "properties": {
            "reason": {"type": "string"},
            name: {"type": [kind, "null"], "enum": [*values, None]},
        },
        "required": ["reason", name],
        "additionalProperties": False,
    }


def _without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a field stands twice")
    return found
