"""The day in a prompt: whether a template writes today's, and the Jinja that pins it.

A template gets the day from ``strftime_now``, which transformers and vLLM give to it, or from an argument. An argument
is pinned by its value. ``strftime_now`` is pinned by a macro of that name in front of the template, so that data,
rollouts, evaluation and a server render the same text on every day.
"""

import datetime
import re
from collections.abc import Mapping, Sequence
from typing import Any

from permix_verl.chat_templates.probes import CHATS
from permix_verl.chat_templates.template import ChatTemplate, TemplateFailureError

PINNED = datetime.datetime(2024, 7, 26)
PINNED_TEXT = "26 Jul 2024"
"""The day of every prompt: the default of Llama 3.2's template."""
DAYS = (datetime.datetime(2001, 2, 3, 4, 5, 6), datetime.datetime(2031, 11, 20, 21, 22, 23))
"""Two days that share no part of a date."""
DATE_ARGUMENTS = ("date_string", "datetime", "date", "current_date", "today_date", "today", "current_datetime", "now")
"""Names under which templates take the day as an argument."""
_SHARED = {"C": "20", "G": "2024", "V": "30", "U": "29", "W": "30", "u": "5", "w": "5", "g": "24", "P": "am"}
_ENGLISH = {
    **{"a": "Fri", "A": "Friday", "b": "Jul", "h": "Jul", "B": "July", "p": "AM", "n": "\n", "t": "\t"},
    **{"Y": "2024", "y": "24", "m": "07", "d": "26", "e": "26", "j": "208", "H": "00", "I": "12", "k": " 0", "l": "12"},
    **{"M": "00", "S": "00", "f": "000000", "s": "1721952000", "Z": "", "z": "", "R": "00:00", "T": "00:00:00"},
    **{"D": "07/26/24", "F": "2024-07-26", "x": "07/26/24", "X": "00:00:00", "r": "12:00:00 AM"},
    **{"c": "Fri Jul 26 00:00:00 2024"},
    **_SHARED,
}
"""Directive of strftime -> its text on the pinned day, in the C locale."""
_RENDERINGS = 24
_WRITTEN = ("%Y-%m-%d", "%d %b %Y", "%d %B %Y", "%B %d, %Y", "%b %d, %Y", "%d/%m/%Y", "%m/%d/%Y", "%A, %B %d")
"""Forms in which templates write a day."""


def changes_with_the_day(template: ChatTemplate, arguments: Mapping[str, Any]) -> bool:
    """Return whether a prompt is another on another day, with and without a persona, thinking on and off."""
    switched = [dict(arguments), {**arguments, "enable_thinking": not arguments.get("enable_thinking")}]
    tools = {"tools": [_TOOL]}
    for given in [*switched, {**arguments, **tools}]:
        for chat in CHATS:
            texts = [_rendered(template, chat, given, day) for day in DAYS]
            if texts[0] != texts[1]:
                return True
    return False


_TOOL = {
    "type": "function",
    "function": {
        "name": "count",
        "description": "Count beans.",
        "parameters": {"type": "object", "properties": {"jar": {"type": "string"}}, "required": ["jar"]},
    },
}


def _rendered(
    template: ChatTemplate, chat: Sequence[Mapping[str, Any]], arguments: Mapping[str, Any], day: datetime.datetime
) -> str | None:
    try:
        return template.render(chat, arguments, day=day)
    except TemplateFailureError:
        return None


def todays_date(text: str, now: datetime.datetime | None = None) -> str | None:
    """Return the date of today, or of a day beside it in another time zone, that stands in a text; ``None`` without."""
    now = now or datetime.datetime.now()
    days = [now + datetime.timedelta(days=offset) for offset in (0, -1, 1)]
    written = (day.strftime(form) for day in days for form in _WRITTEN)
    return next((date for date in written if date in text), None)


def is_random(template: ChatTemplate, arguments: Mapping[str, Any]) -> bool:
    """Return whether a prompt differs from one rendering to the next: Jinja can choose at random."""
    return template.chooses() and any(
        len({_rendered(template, chat, arguments, PINNED) for _ in range(_RENDERINGS)}) > 1 for chat in CHATS
    )


def pinning_macro(template: ChatTemplate) -> str:
    """Return a Jinja macro that stands for ``strftime_now``, on the pinned day at midnight."""
    formats = [text for text in template.texts() if "%" in text]
    used = {found for text in formats for found in re.findall(r"%[-#_0^]?([A-Za-z])", text)}
    replaced = []
    for directive in sorted(used & _ENGLISH.keys() or _ENGLISH.keys()):
        text = _ENGLISH[directive]
        for flag in "-#":  # without leading zeros
            replaced.append((f"%{flag}{directive}", text.lstrip("0 ") or "0" if text[:1].isdigit() else text))
        replaced.append((f"%{directive}", text))
    filters = "".join(f"|replace({_quoted(one)},{_quoted(other)})" for one, other in replaced)
    return (
        "{%- macro strftime_now(format) -%}{%- for part in format.split('%%') -%}{{- '' if loop.first else '%' -}}"
        f"{{{{- part{filters} -}}}}{{%- endfor -%}}{{%- endmacro -%}}"
    )


def _quoted(text: str) -> str:
    return "'" + text.replace("\n", "\\n").replace("\t", "\\t") + "'"
