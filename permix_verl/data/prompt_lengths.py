"""Prompt lengths of a problem under every persona of a pool, without rendering every pair.

A chat template puts special tokens between system and user text, and tokenizers
split at special tokens first. So a prompt's length is one number for the persona
plus one for the problem, and the same persona is the longest for every problem.
That is checked on probes, not assumed: where it does not hold, and for every
problem near the limit, each persona is measured on its own.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from permix_verl.personas.pool import Persona, PersonaPool
from permix_verl.personas.prompts import build_messages, count_tokens, render

NEAR_LIMIT = 8
"""Tokens below the limit from which on a problem is measured under every persona."""

_PROBES = (
    "1 + 1 = ?",
    "A farmer has 12 cows. He sells half of them, and buys 3 more. How many cows does he have now?",
    "$5.00 + $7.50 is how much?\nWrite it in dollars.",
    "Ünal's café sold 1,234 croissants at 25% off; what's left?",
)


class PromptMeter:
    """Measures problems in tokens under the no-persona arm and every persona of a pool."""

    def __init__(
        self,
        tokenizer: Any,
        pool: PersonaPool,
        template_kwargs: Mapping[str, Any] | None = None,
        task: str = "math",
    ) -> None:
        self.tokenizer = tokenizer
        self.task = task
        self.template_kwargs = dict(template_kwargs or {})
        self.arms: tuple[Persona | None, ...] = (None, *pool)
        probe_lengths = [self.lengths(probe) for probe in _PROBES]  # one list over arms per probe
        offsets = [[length - lengths[0] for length in lengths] for lengths in probe_lengths]
        self.additive = all(row == offsets[0] for row in offsets)
        self.longest_arm = self.arms[max(range(len(self.arms)), key=offsets[0].__getitem__)]

    def lengths(self, question: str) -> list[int]:
        """Prompt tokens of one problem under every arm, in the order of ``arms``."""
        return count_tokens(self.tokenizer, [self._render(question, arm) for arm in self.arms])

    def longest(self, questions: Sequence[str], limit: int) -> list[int]:
        """Prompt tokens of each problem under the arm that makes its prompt longest.

        Exact for every problem within ``NEAR_LIMIT`` tokens of ``limit`` or above it.
        """
        if not self.additive:
            return [max(self.lengths(question)) for question in questions]
        lengths = count_tokens(self.tokenizer, [self._render(question, self.longest_arm) for question in questions])
        return [
            max(self.lengths(question)) if length > limit - NEAR_LIMIT else length
            for question, length in zip(questions, lengths, strict=True)
        ]

    def _render(self, question: str, arm: Persona | None) -> str:
        return render(self.tokenizer, build_messages(question, arm, self.task), self.template_kwargs)
