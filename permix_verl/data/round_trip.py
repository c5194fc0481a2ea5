"""A check that a tokenizer gives back every text, for whole pools of personas.

A byte-level tokenizer under the name of Llama's class silently loses every space (transformers #45488). So texts are
encoded and decoded before they are used. Sound tokenizers also change a text: case, Unicode form, the number of blanks,
blanks around punctuation. Every character must come back, and a blank wherever there was one.
"""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from permix_verl.data.word_lengths import WHOLE, Codec, WordLengths, is_lost
from permix_verl.errors import UserError
from permix_verl.personas.pool import Persona, PersonaPool

ROUND_TRIP_ROWS = 100
"""Rows of a data set whose texts are checked."""

_BATCH = 1024
_EXCERPT_CHARS = 40


def check_round_trip(tokenizer: Any, personas: Iterable[Persona | None], texts: Sequence[str] = ()) -> None:
    """Refuse a tokenizer that loses part of a text, and a persona whose text contains a special token.

    Args:
        personas: all personas in use, checked in all their wordings; ``None`` is the control condition. In a pool of
            thousands, plain texts are checked word by word (:class:`~permix_verl.data.word_lengths.WordLengths`).
        texts: problem texts to check.

    Raises:
        UserError: gives the first text that does not survive, or the persona's key and the special token.
    """
    is_large = isinstance(personas, PersonaPool) and len(personas) > WHOLE
    for _ in _checked_lengths(tokenizer, personas, WordLengths() if is_large else None):
        pass
    codec = Codec(tokenizer)
    for batch in _batches(texts):
        _check_texts(codec, batch, codec.encode(batch))


def text_lengths(tokenizer: Any, pool: PersonaPool) -> list[int]:
    """Return the tokens of each persona's text, in each of its wordings, checked as :func:`check_round_trip` does.

    Raises:
        UserError: see :func:`check_round_trip`.
    """
    words = WordLengths() if len(pool) > WHOLE else None
    lengths = list(_checked_lengths(tokenizer, pool, words))
    if words and words.used and not words.are_sums:
        return list(_checked_lengths(tokenizer, pool, None))
    return lengths


def _checked_lengths(tokenizer: Any, personas: Iterable[Persona | None], words: WordLengths | None) -> Iterator[int]:
    """Yield the tokens of each text, checked."""
    codec = Codec(tokenizer)
    worded = ((persona.key, text) for persona in personas if persona for text in persona.wordings)
    for batch in _batches(worded):
        counts = words.lengths(codec, [text for _, text in batch]) if words else [None] * len(batch)
        left = [pair for pair, count in zip(batch, counts, strict=True) if count is None]
        encoded = codec.encode([text for _, text in left])
        _check_keys(codec, left, encoded)
        _check_texts(codec, [text for _, text in left], encoded)
        found = iter(map(len, encoded))
        lengths = [next(found) if count is None else count for count in counts]
        if words:
            words.compare(codec, [text for _, text in batch], lengths)
        yield from lengths


def _check_keys(codec: Codec, worded: Sequence[tuple[str, str]], encoded: Sequence[Sequence[int]]) -> None:
    for (key, text), ids in zip(worded, encoded, strict=True):
        if token := codec.special_token(text, ids):
            raise UserError(
                f"the text of persona {key!r} contains {token!r}, which is a special token of "
                f"{_name(codec.tokenizer)}, so the model would read a control token instead of its characters",
                "rephrase the persona's text",
            )


def _check_texts(codec: Codec, texts: Sequence[str], encoded: Sequence[Sequence[int]]) -> None:
    for text, decoded in codec.changed(texts, encoded):
        if is_lost(text, decoded):
            before, after = _first_difference(text, decoded)
            raise UserError(
                f"the tokenizer {_name(codec.tokenizer)} loses part of a text: {before!r} comes back as {after!r}",
                "set tokenizer_class to PreTrainedTokenizerFast in its tokenizer_config.json, or repair its files",
            )


def _batches(items: Iterable[Any]) -> Iterator[list[Any]]:
    iterator = iter(items)
    while batch := list(itertools.islice(iterator, _BATCH)):
        yield batch


def _name(tokenizer: Any) -> str:
    return f"{type(tokenizer).__name__} of {getattr(tokenizer, 'name_or_path', '') or 'no folder'}"


def _first_difference(text: str, decoded: str) -> tuple[str, str]:
    """Return an excerpt of both texts around their first difference."""
    text, decoded = text.strip(), decoded.strip()
    shorter = min(len(text), len(decoded))
    same = next((i for i in range(shorter) if text[i] != decoded[i]), shorter)
    start = max(0, same - _EXCERPT_CHARS // 2)
    return text[start : start + _EXCERPT_CHARS], decoded[start : start + _EXCERPT_CHARS]
