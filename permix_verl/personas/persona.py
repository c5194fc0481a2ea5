"""The persona: its key, category, system prompt, further wordings and weight."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

NO_PERSONA = "no_persona"
"""Name of the control condition: the prompt without a system message."""
UNCATEGORIZED = "uncategorized"
"""Slug of an empty category."""


def slug_of(key: str) -> str:
    """Return a key as it appears in metric names: ``"zen master"`` becomes ``"zen_master"``."""
    return "_".join(key.replace("/", " ").split())


def category_slug(category: str) -> str:
    """Return a category as it appears in metric names: ``"Education & Experience"`` is ``"Education_Experience"``."""
    return "_".join(re.findall(r"[\w.-]+", category)) or UNCATEGORIZED


def folded(text: str) -> str:
    """Return a text without differences of case and spacing; two personas must differ in it."""
    return " ".join(text.split()).casefold()


@dataclass(frozen=True, slots=True)
class Persona:
    """A persona.

    Attributes:
        system_prompt: the text of the system message; the first wording, if there are several.
        weight: the persona's probability in a draw, relative to the others of its pool.
        paraphrases: the other wordings.
    """

    key: str
    category: str
    system_prompt: str
    weight: float = 1.0
    paraphrases: tuple[str, ...] = ()

    @property
    def slug(self) -> str:
        """The key as it appears in metric names."""
        return slug_of(self.key)

    @property
    def wordings(self) -> tuple[str, ...]:
        """All system prompts of the persona, in the pool's order."""
        return (self.system_prompt, *self.paraphrases)

    def worded(self, number: int) -> "Persona":
        """Return the persona with only its wording of this number."""
        if not self.paraphrases:
            return self
        return replace(self, system_prompt=self.wordings[number], paraphrases=())

    def worded_all(self) -> tuple["Persona", ...]:
        """Return the persona once for each of its wordings."""
        if not self.paraphrases:
            return (self,)
        return tuple(self.worded(number) for number in range(len(self.wordings)))

    def record(self) -> list[Any]:
        """Return the persona as JSON; weight and paraphrases are left out where they are the defaults."""
        fields: list[Any] = [self.key, self.category, self.system_prompt]
        if self.weight != 1 or self.paraphrases:
            fields.append(float(self.weight))
        if self.paraphrases:
            fields.append(list(self.paraphrases))
        return fields

    @classmethod
    def from_record(cls, fields: Sequence[Any]) -> "Persona":
        """Read what :meth:`record` returns."""
        weight = fields[3] if len(fields) > 3 else 1.0
        return cls(fields[0], fields[1], fields[2], weight, tuple(fields[4]) if len(fields) > 4 else ())
