"""Prompt lengths of problems under every persona of a pool, without rendering every pair.

A chat template puts special tokens between system and user text, and tokenizers split at special tokens first. So a
prompt's length is one number for the persona plus one for the problem, and the same persona is the longest for every
problem. This is checked on probes: where it does not hold, and for every problem near the limit, every persona is
measured.

Every persona is here every persona of a pool of up to :data:`MEASURED_POOL` texts (wordings count one by one), and the
lengths near the limit are exact. In a larger pool the candidates for the longest prompt take their place
(``permix_verl.data.longest_personas``): the lengths are exact where they are sums, and where the two parts share a few
tokens at their border.
"""

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

from permix_verl.data.longest_personas import longest_personas
from permix_verl.personas.pool import Persona, PersonaPool
from permix_verl.personas.prompts import build_messages, count_tokens, render

NEAR_LIMIT = 8
"""Problems within this many tokens of the limit are measured under every persona."""
MEASURED_POOL = 100
"""Texts up to which all personas of a pool are measured in prompts."""

_PROBES = (
    "1 + 1 = ?",
    "A farmer has 12 cows. He sells half of them, and buys 3 more. How many cows does he have now?",
    "$5.00 + $7.50 is how much?\nWrite it in dollars.",
    "Ünal's café sold 1,234 croissants at 25% off; what's left?",
)


def has_more_texts(pool: PersonaPool, number: int = MEASURED_POOL) -> bool:
    """Return whether a pool has more than this number of texts: then :class:`PromptLengths` checks them all itself."""
    return next(islice(pool.wordings(), number, None), None) is not None


class PromptLengths:
    """Prompt lengths in tokens without a persona and under every persona of a pool.

    Args:
        measured: number of texts above which the pool is measured by candidates.

    Attributes:
        conditions: ``None`` (no persona), then the pool's personas in each of their wordings, or the candidates among
            them.
        additive: whether length is persona part plus problem part on all probes.
        longest_persona: the condition with the longest prompts.

    Raises:
        UserError: a pool measured by candidates whose texts the tokenizer does not give back, or has a special token in
            (:func:`~permix_verl.data.round_trip.check_round_trip`).
    """

    def __init__(
        self,
        tokenizer: Any,
        pool: PersonaPool,
        template_kwargs: Mapping[str, Any] | None = None,
        task: str = "math",
        measured: int = MEASURED_POOL,
    ) -> None:
        self.tokenizer = tokenizer
        self.task = task
        self.template_kwargs = dict(template_kwargs or {})
        texts = self._candidates(pool) if has_more_texts(pool, measured) else pool.wordings()
        self.conditions: tuple[Persona | None, ...] = (None, *texts)
        offsets = self._offsets(self.conditions)
        self.additive = all(row == offsets[0] for row in offsets)
        self.longest_persona = self.conditions[max(range(len(self.conditions)), key=offsets[0].__getitem__)]

    def _candidates(self, pool: PersonaPool) -> list[Persona]:
        return longest_personas(self.tokenizer, pool, self.template_kwargs, self._offsets)

    def _offsets(self, conditions: Sequence[Persona | None]) -> list[list[int]]:
        """Return, for every probe, the tokens that each condition adds to its prompt without a persona."""
        rows = [
            count_tokens(self.tokenizer, [self._render(probe, c) for c in (None, *conditions)]) for probe in _PROBES
        ]
        return [[length - bare for length in lengths] for bare, *lengths in rows]

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
