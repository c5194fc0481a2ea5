"""A row's own system message beside a persona's text.

    refuse    no row may have one of its own (the default)
    replace   the persona's text alone
    prepend   the persona's text, a blank line, the row's own
    append    the row's own text, a blank line, the persona's

A row that draws no persona keeps its own message, whatever the policy: its prompt is then the original one. The own
message is the one that leads the chat; system messages behind it are ordinary messages of the row.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from permix_verl.errors import UserError
from permix_verl.personas.pool import Persona

POLICIES = ("refuse", "replace", "prepend", "append")
OWN_SYSTEM = "own_system"
"""Field of ``extra_info`` in mixed files: the row's own system text, or null without one."""

REMEDY = (
    "choose what becomes of it: replace (the persona alone), prepend (the persona, then the row's own text) or append "
    "(its own text, then the persona); --system-message of permix mix, data.permix.system_message at load time"
)
"""Remedy of an own system message that the policy refuses."""

Chat = Sequence[Mapping[str, Any]]


def check_policy(policy: str) -> str:
    """Return the policy.

    Raises:
        UserError: no such policy.
    """
    if policy not in POLICIES:
        raise UserError(f"unknown policy {policy!r} for own system messages", f"known: {', '.join(POLICIES)}")
    return policy


def message_text(message: Mapping[str, Any]) -> str:
    """Return a message's text; the texts of content parts are joined without a separator.

    Raises:
        UserError: content that is no text, such as an image.
    """
    content = message.get("content")
    if isinstance(content, str):
        return content
    if isinstance(content, list) and all(isinstance(part, Mapping) and part.get("type") == "text" for part in content):
        return "".join(part["text"] or "" for part in content)
    raise UserError(f"the system message has the content {content!r}, which is no text", "remove it from the row")


def split_system(chat: Chat) -> tuple[str | None, list[Mapping[str, Any]]]:
    """Return the text of the leading system message, ``None`` without one, and the other messages.

    Raises:
        UserError: as in :func:`message_text`.
    """
    if chat and chat[0].get("role") == "system":
        return message_text(chat[0]), list(chat[1:])
    return None, list(chat)


def system_text(persona: Persona | None, own: str | None, policy: str) -> str | None:
    """Return the text of the system message; ``None`` without one.

    Args:
        persona: the drawn one, or ``None``.
        own: the row's own system text, or ``None``.
        policy: one of :data:`POLICIES`.

    Raises:
        UserError: both a persona and an own text, and the policy refuses that.
    """
    if persona is None:
        return own
    if own is None or policy == "replace" or not own.strip():
        return persona.system_prompt
    texts = {"prepend": (persona.system_prompt, own), "append": (own, persona.system_prompt)}
    if policy not in texts:
        raise UserError(f"the row has a system message of its own: {own[:120]!r}", REMEDY)
    return "\n\n".join(texts[policy])


def compose(persona: Persona | None, own: str | None, others: Chat, policy: str) -> list[dict[str, Any]]:
    """Return the chat of a row under a persona: the system message, if any, then the others as they are.

    Raises:
        UserError: as in :func:`system_text`.
    """
    text = system_text(persona, own, policy)
    leading = [] if text is None else [{"role": "system", "content": text}]
    return [*leading, *map(dict, others)]
