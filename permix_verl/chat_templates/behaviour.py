"""What a template does, for a table: the persona, the system text, the day, thoughts, and supervised training."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from permix_verl.chat_templates.adapt import SystemRole
from permix_verl.chat_templates.day import DATE_ARGUMENTS, changes_with_the_day
from permix_verl.chat_templates.persona_text import PersonaText, own_text, persona_text
from permix_verl.chat_templates.probes import PERSONAS, SEVERAL, split_marks
from permix_verl.chat_templates.template import ChatTemplate, TemplateFailureError
from permix_verl.chat_templates.turns import NoTurnError, bridge, end_of_turn
from permix_verl.chat_templates.use import DEFAULT_ARGUMENTS, TemplateUse, use_template
from permix_verl.errors import UserError

T = TypeVar("T")
Day = Literal["the same every day", "pinned by an argument", "pinned by us"]


@dataclass(frozen=True)
class TemplateBehaviour:
    """Behaviour of a template with the chats of this project.

    Attributes:
        name: file or model.
        refused: why it cannot be used; empty if it can. The rest is then what could be found.
        own: what it does with a system message by itself.
        placed: where a persona stands in the prompts of a run.
        adapted: what was adapted, a sentence each.
        own_text, own_text_beside: the system text that it adds without a persona, and beside one; empty if none.
        day: whether prompts change with the day.
        date_arguments: names under which it takes a date that is not given.
        several_turns: whether it takes a chat of several turns.
        thinking: how prompts end with thinking off and on, in words.
        arguments: arguments beside the usual ones that switch thinking off and on.
        marks: marks of its thoughts that are not ``<think>``'s.
        trained: what a supervised example ends with; empty if it cannot be trained on.
        bridge: text between a prompt and its response, on which no loss is.
        untrained: why it cannot be trained on with supervision; empty if it can.
    """

    name: str
    refused: str = ""
    own: PersonaText | None = None
    placed: str = ""
    adapted: tuple[str, ...] = ()
    own_text: str = ""
    own_text_beside: str = ""
    day: Day = "the same every day"
    date_arguments: tuple[str, ...] = ()
    several_turns: bool = True
    thinking: Mapping[str, str] | None = None
    arguments: Mapping[str, Mapping[str, Any]] | None = None
    marks: tuple[tuple[str, str], ...] = ()
    trained: str = ""
    bridge: str = ""
    untrained: str = ""


def analyse(template: ChatTemplate, system_role: SystemRole = "auto") -> TemplateBehaviour:
    """Return what a template does. Nothing is raised: a template that cannot be used is reported as such."""
    try:
        off = use_template(template, None, system_role, "off")
    except UserError as error:
        own = _attempt(lambda: persona_text(template, DEFAULT_ARGUMENTS))
        return TemplateBehaviour(template.name, refused=error.problem, own=own, untrained="it cannot be used")
    adapted, arguments = off.adaptation.template, off.arguments
    ends, extra = _thinking(template, system_role, off)
    trained, between, untrained = _training(adapted, arguments)
    return TemplateBehaviour(
        template.name,
        own=_attempt(lambda: persona_text(template, arguments)),
        placed=persona_text(adapted, arguments).place,
        adapted=off.adaptation.notices,
        own_text=own_text(adapted, arguments),
        own_text_beside=own_text(adapted, arguments, PERSONAS[0]),
        day=_day(template, off),
        date_arguments=_unset_dates(off),
        several_turns=_attempt(lambda: adapted.render(SEVERAL, arguments)) is not None,
        thinking=ends,
        arguments=extra,
        marks=off.marks,
        trained=trained,
        bridge=between,
        untrained=untrained,
    )


def _attempt(render: Callable[[], T]) -> T | None:
    try:
        return render()
    except TemplateFailureError:
        return None


def _unset_dates(off: TemplateUse) -> tuple[str, ...]:
    given = {*off.arguments, *(notice.partition(",")[0] for notice in off.adaptation.notices)}
    reads = off.adaptation.template.reads()
    return tuple(name for name in DATE_ARGUMENTS if name in reads and name not in given)


def _day(template: ChatTemplate, off: TemplateUse) -> Day:
    if any("today's date" in notice or notice.startswith(DATE_ARGUMENTS) for notice in off.adaptation.notices):
        return "pinned by us"
    undated = {name: value for name, value in off.arguments.items() if name not in DATE_ARGUMENTS}
    return "pinned by an argument" if changes_with_the_day(off.adaptation.template, undated) else "the same every day"


def _thinking(
    template: ChatTemplate, system_role: SystemRole, off: TemplateUse
) -> tuple[dict[str, str], dict[str, dict[str, Any]]]:
    uses = {"off": off}
    try:
        uses["on"] = use_template(template, None, system_role, "on")
    except UserError as error:
        return {"off": off.end.words(), "on": f"refused ({error.problem})"}, {"off": _extra(off), "on": {}}
    return (
        {name: use.end.words() for name, use in uses.items()},
        {name: _extra(use) for name, use in uses.items()},
    )


def _extra(use: TemplateUse) -> dict[str, Any]:
    return {name: value for name, value in use.arguments.items() if name not in DEFAULT_ARGUMENTS}


def _training(template: ChatTemplate, arguments: Mapping[str, Any]) -> tuple[str, str, str]:
    """Return what ends a supervised example, the bridge ahead of its response, and why there is none."""
    try:
        between = bridge(template, arguments)
        end = end_of_turn(template, arguments, split_marks)
    except NoTurnError as reason:
        return "", "", str(reason)
    eos = template.tokens.get("eos_token")
    if not end and not eos:
        return "", "", "it ends a response with no special token, and its tokenizer has no eos_token"
    return "".join(end) or f"{eos} (eos_token)", between.text, ""
