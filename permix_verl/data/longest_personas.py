"""The personas of a large pool under which prompts can be longest.

Every text is tokenized once, by itself. In a prompt it has as many tokens, but for those that it shares with the
template's or the problem's text at its ends, and what the template adds because of something in the text. So those
whose own tokens are nearly the most are measured in prompts of several problems, with those that the template treats
differently. The ones that are longest in any of the prompts, and those close to them, are the candidates.
"""

import heapq
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from permix_verl.data.round_trip import text_lengths
from permix_verl.personas.composed_prompts import find_frame, irregular_personas
from permix_verl.personas.pool import Persona, PersonaPool

MARGIN = 8
"""Tokens by which a text may be shorter than the longest one and still be measured in prompts, if all texts share
equally many tokens with what stands around them; twice the difference is added."""
CLOSE = 2
"""Tokens by which a candidate's prompts may be shorter than the longest ones, where lengths are sums."""
MEASURED = 4096
"""Texts that are measured in prompts, at most: the longest."""
CANDIDATES = 16
"""Candidates where lengths are sums; otherwise up to four times as many."""
_SPACED = 128

Offsets = Callable[[Sequence[Persona | None]], list[list[int]]]
"""Measures, for every probe, the tokens that each condition adds to the prompt without a persona."""


def longest_personas(
    tokenizer: Any, pool: PersonaPool, template_kwargs: Mapping[str, Any], measure: Offsets
) -> list[Persona]:
    """Return the candidates for the longest prompt, each with one wording.

    They have the longest prompt of every problem if a prompt's length is one number for the persona plus one for the
    problem. If the two parts share tokens, they have it if the difference that this makes is at most that found on
    ``_SPACED`` personas of the pool and the probes; and if no more than :data:`MEASURED` texts are that close to the
    longest, no more than four times :data:`CANDIDATES` prompts, and no more than that are treated apart.

    Raises:
        UserError: a text that the tokenizer does not give back, or with a special token in it.
    """
    lengths = text_lengths(tokenizer, pool)
    step = max(1, len(lengths) // _SPACED)
    spaced = list(pool.wordings_at(range(0, len(lengths), step)))
    shared = [[offset - length for offset, length in zip(row, lengths[::step], strict=True)] for row in measure(spaced)]
    spread = max(max(row) - min(row) for row in shared)
    least = max(lengths) - MARGIN - 2 * spread
    near = heapq.nlargest(
        MEASURED, (number for number, length in enumerate(lengths) if length >= least), lengths.__getitem__
    )
    texts = list(pool.wordings_at(sorted(near)))
    apart = _treated_apart(tokenizer, pool, template_kwargs, measure, max(lengths) + max(map(max, shared)))
    return list(dict.fromkeys([*_longest(texts, measure), *islice(apart, 4 * CANDIDATES)]))


def _treated_apart(
    tokenizer: Any, pool: PersonaPool, template_kwargs: Mapping[str, Any], measure: Offsets, most: int
) -> Iterator[Persona]:
    """Yield the personas to which the template adds something else than to others, if their prompts can be longest.

    Args:
        most: the tokens that the longest text adds to a prompt.
    """
    frame = find_frame(tokenizer, template_kwargs)
    personas = pool.wordings() if frame is None else irregular_personas(tokenizer, pool, frame, template_kwargs)
    while batch := list(islice(personas, 1024)):
        for persona, offsets in zip(batch, zip(*measure(batch), strict=True), strict=True):
            if max(offsets) >= most - MARGIN or max(offsets) - min(offsets) > MARGIN:
                yield persona


def _longest(personas: list[Persona], measure: Offsets) -> list[Persona]:
    """Return the personas with the longest prompts, in their order."""
    rows = measure(personas)
    offsets = [max(of_persona) for of_persona in zip(*rows, strict=True)]
    is_sum = all(row == rows[0] for row in rows)
    close = CLOSE if is_sum else MARGIN + max(max(row) - min(row) for row in zip(*rows, strict=True))
    count = CANDIDATES if is_sum else 4 * CANDIDATES
    near = [number for number, offset in enumerate(offsets) if offset >= max(offsets) - close]
    return [personas[number] for number in sorted(heapq.nlargest(count, near, offsets.__getitem__))]
