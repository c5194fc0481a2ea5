"""A template as a run uses it: its arguments with thinking on or off, its adaptation, and how its prompts end."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from permix_verl.chat_templates.adapt import Adaptation, SystemRole, adapt
from permix_verl.chat_templates.day import PINNED_TEXT
from permix_verl.chat_templates.template import ChatTemplate
from permix_verl.chat_templates.thinking import MARKS, THINK, PromptEnd, end_of_prompts, thinking_arguments

Thinking = Literal["off", "on"]
THINKING: tuple[Thinking, ...] = ("off", "on")
DEFAULT_ARGUMENTS: Mapping[str, Any] = {"date_string": PINNED_TEXT, "enable_thinking": False}
"""Arguments of every template: Llama 3.2's would insert today's date, and Qwen3's would open the model's thoughts."""


@dataclass(frozen=True)
class TemplateUse:
    """A template in a run.

    Attributes:
        arguments: the template's keyword arguments.
        adaptation: the template that renders the run's prompts.
        end: how the prompts end.
        marks: marks of thoughts in the template, (opening, closing), that are not ``<think>``'s.
    """

    arguments: dict[str, Any]
    adaptation: Adaptation
    end: PromptEnd
    marks: tuple[tuple[str, str], ...]

    def notices(self, thinking: Thinking) -> list[str]:
        """Return what a command says at its start: what was adapted, and an open thought that no argument closes."""
        lines = list(self.adaptation.notices)
        if self.end.state == "open" and thinking == "off":
            lines.append(
                f"its prompts end with an open thought ({self.end.opening}) although thinking is off: a completion "
                f"without {self.end.closing or 'its end'} is a thought that was cut off, and no answer"
            )
        if thinking == "on" and self.end.state == "closed":
            lines.append("its prompts close the thought although thinking is on: it has no argument that opens one")
        return lines


def use_template(
    template: ChatTemplate,
    arguments: Mapping[str, Any] | None = None,
    system_role: SystemRole = "auto",
    thinking: Thinking = "off",
) -> TemplateUse:
    """Return how a run uses a template.

    Args:
        arguments: the user's, which are kept; ``None`` is :data:`DEFAULT_ARGUMENTS`. Those that switch thinking are
            added.

    Raises:
        UserError: as :func:`~permix_verl.chat_templates.adapt.adapt`.
    """
    given = dict(DEFAULT_ARGUMENTS if arguments is None else arguments)
    # A template that fails by itself is repaired first; what it reads stays the same.
    if arguments is None or thinking == "on":
        repaired = adapt(template, given, system_role).template
        given = thinking_arguments(repaired, given, thinking == "on", arguments)
    adaptation = adapt(template, given, system_role)
    end = end_of_prompts(adaptation.template, given)
    return TemplateUse(given, adaptation, end, marks_in(template))


def marks_in(template: ChatTemplate) -> tuple[tuple[str, str], ...]:
    """Return the marks of thoughts that a template names, ``<think>``'s aside."""
    text = "\n".join(template.texts())
    return tuple(pair for pair in MARKS if pair != THINK and pair[1] in text and pair[0] in text)
