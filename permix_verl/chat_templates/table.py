"""A Markdown table of what templates do, with counts at its top."""

import re
from collections import Counter
from collections.abc import Sequence

from permix_verl.chat_templates.behaviour import TemplateBehaviour

COLUMNS = (
    "template",
    "system message",
    "persona stands in",
    "own system text",
    "day",
    "prompt ends with, thinking off",
    "thinking on",
    "supervised: loss on",
)


def markdown(behaviours: Sequence[TemplateBehaviour], title: str) -> str:
    """Return the table as Markdown.

    Args:
        title: heading, and what the templates are.
    """
    lines = [f"## {title}", "", *(f"- {line}" for line in counts(behaviours)), ""]
    lines += ["| " + " | ".join(COLUMNS) + " |", "|" + "---|" * len(COLUMNS)]
    lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in row(one)) + " |" for one in behaviours]
    return "\n".join(lines) + "\n"


def row(one: TemplateBehaviour) -> list[str]:
    """Return the cells of a template."""
    if one.refused:
        reason = one.refused.partition(one.name)[2].strip() or one.refused
        return [one.name, _fate(one), f"refused: {reason}", *[""] * (len(COLUMNS) - 3)]
    thinking, arguments = one.thinking or {}, one.arguments or {}
    return [
        one.name,
        _fate(one),
        _place(one),
        _own_text(one),
        _day(one),
        *(f"{_end(thinking.get(name, ''))}{_arguments(arguments.get(name) or {})}" for name in ("off", "on")),
        _trained(one),
    ]


def _fate(one: TemplateBehaviour) -> str:
    return one.own.fate if one.own else "fails as it is"


def _place(one: TemplateBehaviour) -> str:
    moved = [notice for notice in one.adapted if "personas stand" in notice]
    given = [notice for notice in one.adapted if notice not in moved and "today's date" not in notice]
    return "; ".join([one.placed + (", moved there" if moved else ""), *given])


def _own_text(one: TemplateBehaviour) -> str:
    if not one.own_text:
        return "beside a persona" if one.own_text_beside else "none"
    return "without a persona and beside one" if one.own_text_beside else "without a persona"


def _day(one: TemplateBehaviour) -> str:
    unset = f" (`{'`, `'.join(one.date_arguments)}` not given)" if one.date_arguments else ""
    return one.day + unset


def _end(words: str) -> str:
    return re.sub(r"\((.+)\)\Z", r"(`\1`)", words)


def _arguments(arguments: object) -> str:
    if not isinstance(arguments, dict) or not arguments:
        return ""
    return " (" + ", ".join(f"`{name}={value!r}`" for name, value in arguments.items()) + ")"


def _trained(one: TemplateBehaviour) -> str:
    if one.untrained:
        return f"refused: {one.untrained}"
    shown = one.trained.replace("\n", "\u23ce")
    behind = f", behind `{one.bridge.replace(chr(10), chr(0x23CE))}` without loss" if one.bridge else ""
    return f"response, `{shown}`{behind}"


def counts(behaviours: Sequence[TemplateBehaviour]) -> list[str]:
    """Return the counts over templates, a line each."""
    usable = [one for one in behaviours if not one.refused]
    fates = Counter(_fate(one) for one in behaviours)
    ends = {name: Counter(_state(one, name) for one in usable) for name in ("off", "on")}
    return [
        f"{len(behaviours)} templates, {len(usable)} usable, {len(behaviours) - len(usable)} refused by name",
        "a system message is " + ", ".join(f"{fate} by {number}" for fate, number in sorted(fates.items())),
        f"{sum('personas stand' in ' '.join(one.adapted) for one in usable)} get the persona in the user's turn by "
        f"adaptation, {sum(one.placed == _USER for one in usable)} in all",
        f"{sum(bool(one.own_text) for one in usable)} add a system text of their own without a persona, "
        f"{sum(bool(one.own_text_beside) for one in usable)} beside one",
        f"{sum(one.day == 'pinned by us' for one in usable)} change with the day though `date_string` is given, and "
        f"are pinned; {sum(one.day == 'pinned by an argument' for one in usable)} are pinned by an argument",
        *(
            f"thinking {name}: prompts end with an open thought in {found['open']}, a closed one in {found['closed']}, "
            f"none in {found['none']}"
            for name, found in ends.items()
        ),
        f"{sum(not one.untrained for one in behaviours)} can be trained on with supervision, "
        f"{sum(bool(one.bridge) for one in usable)} of them with text between prompt and response",
    ]


_USER = "the user's turn"


def _state(one: TemplateBehaviour, name: str) -> str:
    words = (one.thinking or {}).get(name, "")
    return "open" if "open" in words else "closed" if "closed" in words else "none"
