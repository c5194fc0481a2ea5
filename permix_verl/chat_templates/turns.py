"""An assistant's turn: what stands between the prompt and the response, and what ends the turn.

The prompt of a response is the prompt of generation. Some templates put more in front of a response than a prompt ends
with: a channel (``<|channel|>final<|message|>``), or an empty thought. That text is the bridge. It is part of the
input, and no loss is on it: the model is trained on its response as it stands in the template's own chats, not on
skipping thoughts.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from permix_verl.chat_templates.probes import (
    ANSWER,
    BARE,
    FOLLOW_UP,
    PERSONAS,
    QUESTION,
    SEVERAL,
    assistant,
    split_marks,
    system,
    user,
    words,
)
from permix_verl.chat_templates.template import ChatTemplate, TemplateFailureError
from permix_verl.chat_templates.thinking import CLOSINGS, MARKS, end_of_prompts

Token = TypeVar("Token")
Split = Callable[[str], Sequence[tuple[Token, bool]]]
"""Text -> its tokens in order, each with whether it is special."""

_THOUGHT = "Twelve beans, by halves."
_OTHER_ANSWER = "It is 7, \\boxed{7}."


class NoTurnError(Exception):
    """A template in which no turn of an assistant can be trained on; the message is the reason."""


@dataclass(frozen=True)
class Bridge:
    """Text between a prompt and its response.

    Attributes:
        text: empty for most templates.
        thought: whether it closes, or holds, a thought: a response that ends a thought itself goes without.
        opening: the mark with which the prompt has opened a thought; empty if it has not.
    """

    text: str = ""
    thought: bool = False
    opening: str = ""

    def join(self, response: str) -> tuple[str, str]:
        """Return the bridge of a response, and the response itself, without a thought's opening that the prompt has."""
        if self.opening and response.startswith(self.opening):
            response = response[len(self.opening) :].lstrip()
        ends_thought = any(closing in response for closing in CLOSINGS)
        return ("" if self.thought and ends_thought else self.text), response


def bridge(template: ChatTemplate, arguments: Mapping[str, Any]) -> Bridge:
    """Return what stands between a prompt and a response in the template's own chats.

    Raises:
        NoTurnError: the template refuses an assistant's turn, or loses its text.
    """
    found = {_bridge(template, arguments, chat, answer) for chat in _prompts() for answer in (ANSWER, _OTHER_ANSWER)}
    if len(found) > 1:
        raise NoTurnError("what stands in front of a response depends on the chat")
    return found.pop()


def _prompts() -> Sequence[Sequence[Mapping[str, Any]]]:
    return (BARE, (system(PERSONAS[0]), user()))


def _bridge(
    template: ChatTemplate, arguments: Mapping[str, Any], chat: Sequence[Mapping[str, Any]], answer: str
) -> Bridge:
    try:
        prompt = template.render(chat, arguments)
        end = end_of_prompts(template, arguments)
    except TemplateFailureError as failure:
        raise NoTurnError(f"it refuses a prompt ({failure})") from failure
    opening = end.opening if end.state == "open" else ""
    try:
        whole = template.render([*chat, assistant(answer)], arguments, add_generation_prompt=False)
    except TemplateFailureError as failure:
        raise NoTurnError(f"it refuses an assistant's turn ({failure})") from failure
    if answer not in whole:
        raise NoTurnError("it loses an assistant's text")
    if whole.startswith(prompt):
        text = whole[len(prompt) :].rpartition(answer)[0]
        if text.strip():
            return Bridge(text, bool(opening) or _has_thought(text), opening)
    header = _header(prompt, whole, answer)
    if not opening:
        return Bridge(header)
    if not end.closing:
        raise NoTurnError(f"its prompts open a thought ({opening}), and where it closes is not known")
    closes = _close_of_thought(template, arguments, chat, answer, end.closing)
    return Bridge(closes or f"\n{end.closing}\n\n{header}", thought=True, opening=opening)


def _has_thought(text: str) -> bool:
    return any(mark in text for pair in MARKS for mark in pair[:1])


def _header(prompt: str, whole: str, answer: str) -> str:
    """Return what a chat has in front of an answer, where its prompt has a thought alone; empty if it has nothing."""
    same = 0
    for piece, _ in split_marks(prompt):
        if not whole.startswith(piece, same):
            break
        same += len(piece)
    in_prompt, in_chat = _without_thoughts(prompt[same:]), _without_thoughts(whole[same:].rpartition(answer)[0])
    return in_chat if in_chat.strip() and not in_prompt.strip() and same else ""


def _without_thoughts(text: str) -> str:
    for mark in sorted((mark for pair in MARKS for mark in pair), key=len, reverse=True):
        text = text.replace(mark, "")
    return text


def _close_of_thought(
    template: ChatTemplate, arguments: Mapping[str, Any], chat: Sequence[Mapping[str, Any]], answer: str, closing: str
) -> str:
    """Return what stands between a thought and its answer, in a template that takes thoughts; else an empty text."""
    message = assistant(answer) | dict.fromkeys(("reasoning_content", "reasoning", "thinking"), _THOUGHT)
    try:
        whole = template.render([*chat, message], arguments, add_generation_prompt=False)
    except TemplateFailureError:
        return ""
    between = whole.rpartition(_THOUGHT)[2].rpartition(answer)[0]
    return between if _THOUGHT in whole and closing in between else ""


def end_of_turn(template: ChatTemplate, arguments: Mapping[str, Any], split: Split[Token]) -> list[Token]:
    """Return the tokens that end a response, up to the special token at which generation stops.

    They are what the template puts behind the last response of a chat or, if that has no special token, behind one that
    another turn follows. A token with which a turn begins ends none.

    Returns:
        An empty list if the template ends a response with no special token.

    Raises:
        NoTurnError: the template refuses an assistant's turn, or loses its text.
    """
    eos = str(template.tokens.get("eos_token") or "")
    last, between = _tail(template, arguments), _between_turns(template, arguments)
    opens = _openings(template, arguments, split)
    if found := _first_special(split(last), [token for token in opens if token not in _specials(split(eos))]):
        return _up_to(found, split(last), _specials(split(eos)))
    pieces = split(between)
    specials = _specials(pieces)
    if not specials or (len(specials) == 1 and specials[0] in opens + _before_user(template, arguments, split)):
        return []
    return _first_special(pieces, [token for token in opens if token not in _specials(split(eos))])


def _tail(template: ChatTemplate, arguments: Mapping[str, Any]) -> str:
    """Return what stands behind the last response of a chat."""
    try:
        whole = template.render([user(), assistant()], arguments, add_generation_prompt=False)
    except TemplateFailureError as failure:
        raise NoTurnError(f"it refuses an assistant's turn ({failure})") from failure
    _, answer, tail = whole.rpartition(ANSWER)
    if not answer:
        raise NoTurnError("it loses an assistant's text")
    return tail


def _between_turns(template: ChatTemplate, arguments: Mapping[str, Any]) -> str:
    """Return what stands between a response and the next question; empty if the template takes one turn."""
    try:
        whole = template.render(SEVERAL, arguments, add_generation_prompt=False)
    except TemplateFailureError:
        return ""
    return whole.rpartition(FOLLOW_UP)[0].rpartition(ANSWER)[2]


def _openings(template: ChatTemplate, arguments: Mapping[str, Any], split: Split[Token]) -> list[Token]:
    """Return the special tokens ahead of a chat's first words: they begin turns."""
    try:
        whole = template.render((system(PERSONAS[0]), user()), arguments)
    except TemplateFailureError:
        whole = template.render(BARE, arguments)
    ahead = ""
    for piece, is_mark in split_marks(whole):
        if not is_mark and words(piece):
            break
        ahead += piece
    return _specials(split(ahead))


def _before_user(template: ChatTemplate, arguments: Mapping[str, Any], split: Split[Token]) -> list[Token]:
    return _specials(split(template.render(BARE, arguments).partition(QUESTION.strip())[0]))[-1:]


def _specials(pieces: Sequence[tuple[Token, bool]]) -> list[Token]:
    return [token for token, special in pieces if special]


def _first_special(pieces: Sequence[tuple[Token, bool]], refused: Sequence[Token]) -> list[Token]:
    """Return the tokens up to the first special one; empty if there is none, or it is refused."""
    for position, (token, special) in enumerate(pieces):
        if special:
            return [] if token in refused else [one for one, _ in pieces[: position + 1]]
    return []


def _up_to(found: list[Token], pieces: Sequence[tuple[Token, bool]], eos: Sequence[Token]) -> list[Token]:
    """Return the end with the special tokens that directly follow it, if they lead to the end-of-sequence token."""
    run = list(found)
    for token, special in pieces[len(found) :]:
        if not special or run[-1] in eos:
            break
        run.append(token)
    return run if run[-1] in eos else found
