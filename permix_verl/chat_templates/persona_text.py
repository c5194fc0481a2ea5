"""Whether and where a template keeps a persona's text, and what system text it adds of its own."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from permix_verl.chat_templates.probes import (
    ANSWER,
    BARE,
    FOLLOW_UP,
    PERSONAS,
    QUESTION,
    SEVERAL,
    common_suffix,
    split_marks,
    system,
    user,
    words,
)
from permix_verl.chat_templates.template import ChatTemplate, TemplateFailureError

Fate = Literal["kept", "altered", "dropped", "refused"]
Place = Literal["a turn of its own", "the user's turn", "behind the user's text", "nowhere"]


@dataclass(frozen=True)
class PersonaText:
    """Fate of a system message in a template.

    Attributes:
        fate: kept word for word (blanks at its ends aside), altered, dropped, or refused with an error.
        place: where the text stands.
        reason: the error, if refused.
    """

    fate: Fate
    place: Place = "nowhere"
    reason: str = ""


def persona_text(template: ChatTemplate, arguments: Mapping[str, Any]) -> PersonaText:
    """Return what a template does with the persona of a chat.

    Raises:
        TemplateFailureError: it fails without a persona, too.
    """
    before = template.render(BARE, arguments).partition(QUESTION.strip())[0]
    place: Place = "nowhere"
    for persona in PERSONAS:
        try:
            rendered = template.render((system(persona), user()), arguments)
        except TemplateFailureError as failure:
            return PersonaText("refused", reason=str(failure))
        if QUESTION.strip() not in rendered:
            return PersonaText("altered", reason="beside a system message the user's text is changed or lost")
        if persona not in rendered:
            known = {line.strip() for line in persona.splitlines() if line.strip()}
            return PersonaText("altered" if any(line in rendered for line in known) else "dropped")
        place = _place(rendered, persona, before, str(template.tokens.get("eos_token") or ""))
    return PersonaText("kept", place)


def keeps_user_text(template: ChatTemplate, arguments: Mapping[str, Any]) -> bool:
    """Return whether the user's text is in the prompt word for word."""
    return QUESTION.strip() in template.render(BARE, arguments)


def _place(rendered: str, persona: str, before: str, eos: str) -> Place:
    """Return where a persona stands.

    Args:
        before: what stands ahead of the user's text in a prompt without a persona.
        eos: the token that ends turns.
    """
    ahead, _, behind = rendered.partition(persona)
    if QUESTION.strip() in ahead:
        return "behind the user's text"
    between = behind.partition(QUESTION.strip())[0]
    # The user's turn begins behind the persona, if what opens the turn stands between the two texts.
    opens = common_suffix(between, before).strip() or (eos and eos in between)
    return "a turn of its own" if opens else "the user's turn"


def own_text(template: ChatTemplate, arguments: Mapping[str, Any], persona: str | None = None) -> str:
    """Return the system text that a template adds of its own; empty if it adds none.

    Args:
        persona: ``None`` for a chat without a system message, else the persona beside which it is sought.

    Raises:
        TemplateFailureError: it cannot be rendered.
    """
    chat = BARE if persona is None else (system(persona), user())
    ahead = template.render(chat, arguments).partition(QUESTION.strip())[0]
    opening = _turn_opening(template, arguments)
    if opening:
        ahead = ahead.removesuffix(opening)
    elif persona is None:
        ahead = ahead.rpartition("\n")[0]
    return words(ahead.replace(persona, " ") if persona else ahead, known=opening)


def _turn_opening(template: ChatTemplate, arguments: Mapping[str, Any]) -> str:
    """Return what opens a user's turn, from a chat of several turns; empty if the template takes one turn."""
    try:
        bare, several = template.render(BARE, arguments), template.render(SEVERAL, arguments)
    except TemplateFailureError:
        return ""
    between = several.partition(ANSWER)[2].rpartition(FOLLOW_UP)[0]
    opening = common_suffix(bare.partition(QUESTION.strip())[0], between)
    start, begins = len(between) - len(opening), 0
    for piece, is_mark in split_marks(between):
        ends = begins + len(piece)
        if is_mark and begins < start < ends:  # what is common begins inside a token
            return between[ends:]
        begins = ends
    return opening
