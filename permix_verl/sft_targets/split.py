"""One split of a supervised data set, training or validation: its problems, and counts of its rows."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from permix_verl.data.problems import Problem
from permix_verl.personas.pool import NO_PERSONA, Persona


@dataclass
class Split:
    """Problems of one split, and counts of the rows written from them.

    Attributes:
        dropped: number of problems left out, by reason.
        personas: number of rows by persona key.
        written: number of rows.
        tokens: tokens of all rows.
        target_tokens: tokens of all targets.
        longest: tokens of the longest row.
    """

    problems: list[Problem]
    dropped: Counter[str] = field(default_factory=Counter)
    personas: Counter[str] = field(default_factory=Counter)
    written: int = 0
    tokens: int = 0
    target_tokens: int = 0
    longest: int = 0

    def add(self, persona: Persona | None, tokens: int, target_tokens: int) -> None:
        """Count one written row."""
        self.written += 1
        self.personas[persona.key if persona else NO_PERSONA] += 1
        self.tokens += tokens
        self.target_tokens += target_tokens
        self.longest = max(self.longest, tokens)

    def counts(self) -> dict[str, Any]:
        """Return the counts for the manifest."""
        return {
            "problems": len(self.problems),
            "rows": self.written,
            "dropped": dict(self.dropped),
            "tokens": self.tokens,
            "target_tokens": self.target_tokens,
            "longest": self.longest,
        }
