"""Which part of a completion is a thought: the reward reads what stands behind it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from permix_verl.chat_templates.thinking import MARKS, THINK

Pair = tuple[str, str]


@dataclass(frozen=True)
class Reading:
    """How thoughts are told from answers in completions.

    Attributes:
        marks: marks of the model's thoughts that are not ``<think>``'s.
        cut_at_limit: whether a completion that ended at the token limit without the end of a thought is a thought that
            was cut off: of a model that thinks, at an endpoint, whose prompts are not known.
    """

    marks: tuple[Pair, ...] = ()
    cut_at_limit: bool = False

    @classmethod
    def of_settings(cls, settings: Mapping[str, Any]) -> "Reading":
        """Return the reading that a results folder was written with."""
        stored = settings.get("thinking") or {}
        return cls(tuple((one, other) for one, other in stored.get("marks", ())), stored.get("cut_at_limit", False))

    def settings(self) -> dict[str, Any]:
        """Return the fields of a settings file."""
        return {"marks": [list(pair) for pair in self.marks], "cut_at_limit": self.cut_at_limit}

    def text(self, output: str, prompt: str, finish_reason: str = "stop") -> str:
        """Return a completion as the reward reads it: thoughts between ``<think>`` and ``</think>``.

        Most completions stay as they are. A thought that the prompt opened begins with ``<think>``.

        Args:
            prompt: the rendered prompt.
        """
        opened = opened_by(prompt)
        pairs: Sequence[Pair] = [*self.marks, *([opened] if opened and opened not in (THINK, *self.marks) else [])]
        for opening, closing in pairs:
            output = output.replace(opening, THINK[0]).replace(closing, THINK[1])
        cut = self.cut_at_limit and finish_reason == "length" and THINK[1] not in output
        return f"{THINK[0]}\n{output}" if opened or cut else output

    def is_cut_off(self, output: str, prompt: str, finish_reason: str = "stop") -> bool:
        """Return whether a completion ended inside a thought."""
        return THINK[0] in self.text(output, prompt, finish_reason).rpartition(THINK[1])[2]


def spoken(output: str) -> str:
    """Return a completion without a thought at its beginning that ends with ``</think>``."""
    _, closing, behind = output.rpartition(THINK[1])
    return behind.lstrip() if closing else output


def opened_by(prompt: str) -> Pair | None:
    """Return the marks of the thought that a rendered prompt ends with; ``None`` if it opens none."""
    end = prompt[-200:].rstrip()
    return next((pair for pair in MARKS if end.endswith(pair[0])), None)
