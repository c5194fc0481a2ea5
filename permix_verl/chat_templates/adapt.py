"""Adaptation of a chat template: Jinja in front of the model's own, where prompts would otherwise lose a persona.

The adapted template is a function of the template, its arguments and ``system_role``. It moves a system message into
the first user turn where the template has no system role, pins the day where no argument does, and gives names to a
template that fails without them. A template that needs none of this stays as it is, byte for byte.

Where prompts are rendered the adapted template replaces the model's: preparation, datasets, evaluation and local judges
call :func:`adapt_tokenizer`, and verl's rollouts get it as ``custom_chat_template``.
"""

import functools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from permix_verl.chat_templates.day import (
    DATE_ARGUMENTS,
    PINNED_TEXT,
    changes_with_the_day,
    is_random,
    pinning_macro,
)
from permix_verl.chat_templates.jinja_pieces import TO_PARTS, TO_USER, default_value
from permix_verl.chat_templates.persona_text import keeps_user_text, persona_text
from permix_verl.chat_templates.template import ChatTemplate, TemplateFailureError
from permix_verl.errors import UserError

SystemRole = Literal["auto", "system", "user"]
SYSTEM_ROLES: tuple[SystemRole, ...] = ("auto", "system", "user")
_BEGIN, _END = "{#- permix_verl: prompts of one run are rendered by this -#}", "{#- the model's own follows #}\n"


@dataclass(frozen=True)
class Adaptation:
    """A template as a run renders it.

    Attributes:
        template: the adapted template, or the model's own.
        notices: what was adapted, a sentence each; empty if nothing was.
    """

    template: ChatTemplate
    notices: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Draft:
    """A template under adaptation: the model's own and the Jinja in front of it, in order."""

    own: ChatTemplate
    pieces: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()

    @property
    def template(self) -> ChatTemplate:
        text = f"{_BEGIN}{''.join(self.pieces)}{_END}{self.own.text}" if self.pieces else self.own.text
        return replace(self.own, text=text)

    def with_piece(self, piece: str, notice: str, first: bool = False) -> "_Draft":
        pieces = (piece, *self.pieces) if first else (*self.pieces, piece)
        return _Draft(self.own, pieces, (*self.notices, notice))


def adapt(
    template: ChatTemplate, arguments: Mapping[str, Any] | None = None, system_role: SystemRole = "auto"
) -> Adaptation:
    """Adapt a template, or return it as it is.

    Args:
        arguments: the template's keyword arguments, such as ``date_string``.
        system_role: ``system`` keeps a persona in the system message; ``user`` moves it into the user's turn; ``auto``
            moves it only where the template refuses, drops or alters a system message.

    Raises:
        UserError: a template that fails, loses the user's text or the persona, or changes with the day or at random.
    """
    if system_role not in SYSTEM_ROLES:
        raise UserError(f"system_role is {system_role!r}", f"known: {', '.join(SYSTEM_ROLES)}")
    key = json.dumps([template.text, dict(template.tokens), dict(arguments or {})], default=str, sort_keys=True)
    return _adapt(_Hashable(key, template, dict(arguments or {})), system_role)


@dataclass(frozen=True)
class _Hashable:
    """A template and its arguments, compared by what they say."""

    key: str
    template: ChatTemplate
    arguments: dict[str, Any]

    def __hash__(self) -> int:
        return hash(self.key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Hashable) and (self.key, self.template.name) == (other.key, other.template.name)


@functools.lru_cache(maxsize=64)
def _adapt(given: _Hashable, system_role: SystemRole) -> Adaptation:
    own = replace(given.template, text=without_adaptation(given.template.text))
    draft = _rendering(_Draft(own), given.arguments)
    draft = _keeping_the_persona(draft, given.arguments, system_role)
    draft = _on_one_day(draft, given.arguments)
    return Adaptation(draft.template, draft.notices)


def is_adapted(text: str) -> bool:
    """Return whether a template's text begins with an adaptation."""
    return text.startswith(_BEGIN)


def without_adaptation(text: str) -> str:
    """Return the model's own template of an adapted one."""
    return text.partition(_END)[2] if is_adapted(text) else text


def _rendering(draft: _Draft, arguments: Mapping[str, Any]) -> _Draft:
    """Return the draft with what the template needs to render a plain question."""
    for _ in range(len(DATE_ARGUMENTS)):
        try:
            if keeps_user_text(draft.template, arguments):
                return draft
            failure = ""
        except TemplateFailureError as error:
            failure = str(error)
        following = _repaired(draft, arguments, failure)
        if following is None:
            break
        draft = following
    name = draft.own.name
    if failure:
        raise UserError(
            f"the chat template of {name} refuses a plain question ({failure})",
            "use another model, or repair its chat template",
        )
    raise UserError(
        f"the chat template of {name} loses the user's text", "use another model, or repair its chat template"
    )


def _repaired(draft: _Draft, arguments: Mapping[str, Any], failure: str) -> _Draft | None:
    """Return a draft that renders, or fails later; ``None`` if there is no sound one."""
    candidates: list[tuple[str, str]] = []
    if failure and "tools" not in arguments:
        candidates.append((default_value("tools", "[]", none=True), "tools, which it reads unasked, are an empty list"))
    for name in sorted(draft.own.reads()):
        if f"'{name}' is undefined" not in failure or name in arguments:
            continue
        if name in DATE_ARGUMENTS:
            candidates.append((default_value(name, f"'{PINNED_TEXT}'"), f"{name}, which it reads, is {PINNED_TEXT}"))
        elif name in ("functions", "tools_string", "available_tools"):
            candidates += [(default_value(name, value), f"{name}, which it reads, are none") for value in ("''", "[]")]
        elif name.endswith("_token"):
            candidates.append((default_value(name, "''"), f"{name}, which its tokenizer lacks, is empty"))
    candidates.append((TO_PARTS, "messages are given as lists of parts, which it takes instead of texts"))
    for piece, notice in candidates:
        if piece in draft.pieces:
            continue
        following = draft.with_piece(piece, notice)
        try:
            if keeps_user_text(following.template, arguments):
                return following
        except TemplateFailureError as error:
            if "is undefined" in str(error) and str(error) != failure and piece != TO_PARTS:
                return following  # the next name that it lacks
    return None


def _keeping_the_persona(draft: _Draft, arguments: Mapping[str, Any], system_role: SystemRole) -> _Draft:
    found = persona_text(draft.template, arguments)
    name, why = draft.own.name, {"refused": f"refuses a system message ({found.reason})"}
    reason = why.get(found.fate, f"{'drops' if found.fate == 'dropped' else 'alters'} the system message")
    if found.fate == "kept" and system_role != "user":
        return draft
    if system_role == "system":
        raise UserError(f"the chat template of {name} {reason}", "set system_role to auto, or use another model")
    notice = (
        "personas stand in the user's turn, as system_role=user asks"
        if found.fate == "kept"
        else f"it {reason}: personas stand in the user's turn"
    )
    moved = draft.with_piece(TO_USER, notice, first=True)
    result = persona_text(moved.template, arguments)
    if result.fate != "kept":
        raise UserError(
            f"the chat template of {name} {reason}, and loses a persona in the user's turn too "
            f"({result.reason or result.fate})",
            "use another model, or repair its chat template",
        )
    return moved


def _on_one_day(draft: _Draft, arguments: Mapping[str, Any]) -> _Draft:
    name = draft.own.name
    if is_random(draft.template, arguments):
        raise UserError(f"the chat template of {name} chooses at random", "use another model, or repair its template")
    if not changes_with_the_day(draft.template, arguments):
        return draft
    pinned = draft.with_piece(
        pinning_macro(draft.own), f"it writes today's date: the day is pinned to {PINNED_TEXT}", first=True
    )
    if changes_with_the_day(pinned.template, arguments):
        raise UserError(
            f"the chat template of {name} changes with the day in a way that cannot be pinned",
            "use another model, or repair its chat template",
        )
    return pinned


def adapt_tokenizer(
    tokenizer: Any, arguments: Mapping[str, Any] | None = None, system_role: SystemRole = "auto"
) -> Sequence[str]:
    """Give a tokenizer the adapted template, if it needs one.

    Returns:
        What was adapted, a sentence each.

    Raises:
        UserError: as :func:`adapt`; a tokenizer without a template is left as it is.
    """
    template = template_of(tokenizer)
    if template is None:
        return ()
    adapted = adapt(template, arguments, system_role)
    if adapted.template.text != template.text:
        tokenizer.chat_template = adapted.template.text
    return adapted.notices


def template_of(tokenizer: Any) -> ChatTemplate | None:
    """Return the template with which a tokenizer renders plain chats; ``None`` if it has none."""
    text = getattr(tokenizer, "chat_template", None)
    if isinstance(text, Mapping):
        text = text.get("default")
    if not text:
        return None
    name = getattr(tokenizer, "name_or_path", "") or type(tokenizer).__name__
    return ChatTemplate(text, dict(tokenizer.special_tokens_map), name)
