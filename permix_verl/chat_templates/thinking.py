"""Thoughts of reasoning models: the arguments that switch them, the marks around them, and how a prompt ends.

A prompt ends with an open thought (``<think>``), a closed one (``<think></think>``: the model is to answer at once), or
none. After an open one, a completion without ``</think>`` is a thought that was cut off, and no answer.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from permix_verl.chat_templates.probes import BARE, PERSONAS, QUESTION, system, user
from permix_verl.chat_templates.template import ChatTemplate, TemplateFailureError

State = Literal["none", "closed", "open"]
THINK = ("<think>", "</think>")
"""The marks that reward and evaluation read; others are replaced by them first."""
MARKS: Sequence[tuple[str, str]] = (
    THINK,
    ("<seed:think>", "</seed:think>"),
    ("<mm:think>", "</mm:think>"),
    ("<thinking>", "</thinking>"),
    ("<thought>", "</thought>"),
    ("<reasoning>", "</reasoning>"),
    ("[THINK]", "[/THINK]"),
    ("\u25c1think\u25b7", "\u25c1/think\u25b7"),
    ("<|START_THINKING|>", "<|END_THINKING|>"),
    ("<|inner_prefix|>", "<|inner_suffix|>"),
    ("<|channel>thought", "<channel|>"),
    ("<|channel|>analysis<|message|>", "<|end|>"),
    ("<|think|>", "<|/think|>"),
    ("<|begin_of_thought|>", "<|end_of_thought|>"),
    ("Here are my reasoning steps:", "[BEGIN FINAL RESPONSE]"),
)
"""Marks of the model families, opening and closing."""
CLOSINGS = tuple(closing for _, closing in MARKS if closing not in ("<|end|>", "<channel|>"))
"""Closing marks that close nothing but thoughts."""
_ANY_OPENING = re.compile(
    r"(?:<\||<|\[|\u25c1)(?!/)[\w:.| -]{0,20}(?:think|thought|reason)[\w:.| -]{0,20}(?:\|>|>|\]|\u25b7)\s*\Z",
    re.IGNORECASE,
)
_IN_WORDS = re.compile(r"\b(?:reasoning|thinking|thoughts?)\b[^.:\n]{0,20}:\s*\Z", re.IGNORECASE)

ARGUMENTS: Mapping[str, tuple[Any, Any]] = {
    "enable_thinking": (False, True),
    "thinking": (False, True),
    "enable_think": (False, True),
    "thinking_enabled": (False, True),
    "enable_reasoning": (False, True),
    "reasoning": (False, True),
    "thinking_mode": ("disabled", "enabled"),
    "thinking_option": ("off", "on"),
    "thinking_budget": (0, None),
}
"""Template arguments that switch thinking: the values for off and on; ``None`` leaves it out."""
SHORTEST_COMPLETION = 2048
"""Tokens below which a completion has little room for a thought and an answer."""


@dataclass(frozen=True)
class PromptEnd:
    """How a prompt ends.

    Attributes:
        opening, closing: the marks; empty without a thought. ``closing`` is empty where it is not known.
    """

    state: State = "none"
    opening: str = ""
    closing: str = ""

    @property
    def is_read(self) -> bool:
        """Whether reward and evaluation know where an open thought ends."""
        return self.state != "open" or bool(self.closing)

    def words(self) -> str:
        """Return it in words."""
        if self.state == "none":
            return "no thought"
        return f"{'an open' if self.state == 'open' else 'a closed'} thought ({self.opening or self.closing})"


def prompt_end(tail: str) -> PromptEnd:
    """Read how a prompt ends.

    Args:
        tail: what stands behind the user's text.
    """
    found, place = PromptEnd(), -1
    for opening, closing in MARKS:
        begins, ends = tail.rfind(opening), tail.rfind(closing)
        if begins > max(place, ends):
            place, found = begins, PromptEnd("open", opening, closing)
        elif ends > place and (begins >= 0 or closing in CLOSINGS):
            place, found = ends, PromptEnd("closed", opening, closing)
    if found.state == "none" and (any_opening := _ANY_OPENING.search(tail)):
        return PromptEnd("open", any_opening[0].strip())
    if found.state == "none" and (in_words := _IN_WORDS.search(tail)):
        return PromptEnd("open", in_words[0].strip())
    return found


def end_of_prompts(template: ChatTemplate, arguments: Mapping[str, Any]) -> PromptEnd:
    """Return how the prompts of a template end.

    Raises:
        TemplateFailureError: it cannot be rendered.
    """
    return prompt_end(template.render(BARE, arguments).rpartition(QUESTION.rstrip())[2])


def thinking_arguments(
    template: ChatTemplate, arguments: Mapping[str, Any], thinking: bool, given: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return the template's arguments with thinking on or off.

    Off keeps ``arguments`` where they have ``enable_thinking`` and the template reads it, or no argument of
    :data:`ARGUMENTS` changes its prompts.

    Args:
        arguments: arguments of every template, such as the date.
        given: what the user set among them, which is kept.
    """
    result, given = dict(arguments), given or {}
    reads = template.reads()
    if thinking:
        result |= {"enable_thinking": True} | dict(given)
    if not thinking and "enable_thinking" in reads:
        return result
    for name, values in ARGUMENTS.items():
        value = values[thinking]
        if name in reads and name not in result and value is not None and _changes(template, result, {name: value}):
            result[name] = value
    return result


def _changes(template: ChatTemplate, arguments: Mapping[str, Any], added: Mapping[str, Any]) -> bool:
    """Return whether added arguments change a prompt, and the template takes them."""
    for chat in (BARE, (system(PERSONAS[0]), user())):
        try:
            before = template.render(chat, arguments)
        except TemplateFailureError:
            continue
        try:
            if template.render(chat, {**arguments, **added}) != before:
                return True
        except TemplateFailureError:
            return False
    return False
