"""Prompt lengths of problems under every persona of a pool, without rendering every pair.

A chat template puts special tokens between system and user text, and tokenizers split at special tokens first. So a
prompt's length is one number for the persona plus one for the problem, and the same persona is the longest for every
problem. This is checked on probes: where it does not hold, and for every problem near the limit, every persona is
measured.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from permix_verl.personas.pool import Persona, PersonaPool
from permix_verl.personas.prompts import build_messages, count_tokens, render

NEAR_LIMIT = 8
"""Problems within this many tokens of the limit are measured under every persona."""

_PROBES = (
    "1 + 1 = ?",
    "A farmer has 12 cows. He sells half of them, and buys 3 more. How many cows does he have now?",
    "$5.00 + $7.50 is how much?\nWrite it in dollars.",
    "Ünal's café sold 1,234 croissants at 25% off; what's left?",
)


class PromptLengths:
    """Prompt lengths in tokens without a persona and under every persona of a pool.

    Attributes:
        conditions: ``None`` (no persona), then the pool's personas.
        additive: whether length is persona part plus problem part on all probes.
        longest_persona: the condition with the longest prompts.
    """

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
        self.conditions: tuple[Persona | None, ...] = (None, *pool)
        probe_lengths = [self.lengths(probe) for probe in _PROBES]  # one list over conditions per probe
        offsets = [[length - lengths[0] for length in lengths] for lengths in probe_lengths]
        self.additive = all(row == offsets[0] for row in offsets)
        self.longest_persona = self.conditions[max(range(len(self.conditions)), key=offsets[0].__getitem__)]

    def lengths(self, question: str) -> list[int]:
        """Return the prompt tokens of one problem under every condition, in the order of ``conditions``."""
        return count_tokens(self.tokenizer, [self._render(question, persona) for persona in self.conditions])

    def longest(self, questions: Sequence[str], limit: int) -> list[int]:
        """Return the prompt tokens of each problem under the condition that makes its prompt longest.

        Exact for every problem within ``NEAR_LIMIT`` tokens of ``limit`` or above it.
        """
        if not self.additive:
            return [max(self.lengths(question)) for question in questions]
        lengths = count_tokens(self.tokenizer, [self._render(question, self.longest_persona) for question in questions])
        return [
            max(self.lengths(question)) if length > limit - NEAR_LIMIT else length
            for question, length in zip(questions, lengths, strict=True)
        ]

    def _render(self, question: str, persona: Persona | None) -> str:
        return render(self.tokenizer, build_messages(question, persona, self.task), self.template_kwargs)
