"""Encoding and decoding of many texts, and token counts of plain texts as sums over their words.

Tokenizers split a text at its blanks first, as a rule. So the tokens of a text are those of its words, each with the
blank before it; and of the millions of words in a pool of personas few are different. Whether a tokenizer is like this
is seen on thousands of texts that are encoded whole, and on some of every later batch.
"""

import itertools
import unicodedata
from collections.abc import Iterator, Sequence
from typing import Any

WHOLE = 4096
"""Texts that are encoded whole before any is counted by its words."""
_COMPARED = 16
"""Texts of a later batch that are encoded, too."""
_LONGEST_WORD = 40
_MEMORY = 300_000
"""Words that are remembered at most."""


class Codec:
    """Encodes and decodes batches of texts.

    The first batch goes through the tokenizer's own calls. If the library beneath it gives the same ids, the later ones
    go to that, in parallel; a text that it does not give back as it was is decoded by the tokenizer, too.
    """

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        added = getattr(tokenizer, "added_tokens_decoder", {})
        self._special = {*tokenizer.all_special_ids, *(number for number, token in added.items() if token.special)}
        self._backend: Any = None
        self.batches = 0

    def encode(self, texts: list[str]) -> list[list[int]]:
        self.batches += 1
        if self._backend is not None:
            return self._encode_by_backend(self._backend, texts)
        encoded: list[list[int]] = self.tokenizer(texts, add_special_tokens=False, return_attention_mask=False)[
            "input_ids"
        ]
        backend = getattr(self.tokenizer, "backend_tokenizer", None)
        if self.batches == 1 and hasattr(backend, "encode_batch_fast"):
            self._backend = backend if self._encode_by_backend(backend, texts) == encoded else None
        return encoded

    def _encode_by_backend(self, backend: Any, texts: list[str]) -> list[list[int]]:
        return [encoding.ids for encoding in backend.encode_batch_fast(texts, add_special_tokens=False)]

    def special_token(self, text: str, ids: Sequence[int]) -> str | None:
        """Return the first special token among a text's ids; the token of unknown words does not count."""
        if self._special.isdisjoint(ids):
            return None
        special, tokenizer = set(self._special), self.tokenizer
        if tokenizer.unk_token_id is not None and tokenizer.unk_token not in text:
            special.discard(tokenizer.unk_token_id)
        return next((str(tokenizer.convert_ids_to_tokens(number)) for number in ids if number in special), None)

    def changed(self, texts: Sequence[str], encoded: Sequence[Sequence[int]]) -> Iterator[tuple[str, str]]:
        """Yield (text, what its ids are decoded to) of those that are not given back as they were."""
        is_quick = self._backend is not None and self.batches > 1
        quick = self._backend.decode_batch(encoded, skip_special_tokens=False) if is_quick else ()
        for number, (text, ids) in enumerate(zip(texts, encoded, strict=True)):
            if quick and quick[number] == text:
                continue
            decoded = self.tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)
            if decoded != text:
                yield text, decoded


class WordLengths:
    """Counts the tokens of plain texts: printable ones, with single blanks between words of up to 40 characters.

    Attributes:
        are_sums: whether all texts encoded whole had the sum of their words' tokens.
        used: whether a text was counted by its words.
    """

    def __init__(self) -> None:
        self.are_sums = True
        self.used = False
        self._seen = 0
        self._first: dict[str, int | None] = {}
        self._inner: dict[str, int | None] = {}

    def lengths(self, codec: Codec, texts: Sequence[str]) -> list[int | None]:
        """Return the tokens of each text; ``None`` for one that must be encoded whole.

        Those are the first :data:`WHOLE` ones, those that are not plain, and those with a word that has a special token
        or is not given back.
        """
        if not self.are_sums or self._seen < WHOLE:
            return [None] * len(texts)
        counts = self._sums(codec, texts)
        self.used = self.used or any(count is not None for count in counts)
        return counts

    def compare(self, codec: Codec, texts: Sequence[str], lengths: Sequence[int]) -> None:
        """Compare sums with the lengths of texts encoded whole: all of the first ones, some of later ones."""
        if not self.are_sums:
            return
        if self._seen >= WHOLE:
            texts = texts[:: max(1, len(texts) // _COMPARED)]
            lengths = list(map(len, codec.encode(list(texts))))
        self._seen += len(texts)
        sums = self._sums(codec, texts)
        self.are_sums = all(count in (None, length) for count, length in zip(sums, lengths, strict=True))

    def _sums(self, codec: Codec, texts: Sequence[str]) -> list[int | None]:
        split = [text.split(" ") if _is_plain(text) else [] for text in texts]
        if len(self._first) + len(self._inner) > _MEMORY:
            self._first.clear()
            self._inner.clear()
        self._learn(codec, self._first, "", [words[0] for words in split if words])
        self._learn(codec, self._inner, " ", [word for words in split for word in words[1:]])
        first, inner = self._first.get, self._inner.get
        parts = [[first(words[0]), *map(inner, words[1:])] if words else [None] for words in split]
        return [None if None in of_text else sum(of_text) for of_text in parts]  # type: ignore[arg-type]

    def _learn(self, codec: Codec, known: dict[str, int | None], before: str, words: list[str]) -> None:
        """Add the words that are not known yet; long ones are not remembered."""
        new = sorted({word for word in words if word not in known and len(word) <= _LONGEST_WORD})
        if not new:
            return
        chunks = [f"{before}{word}" for word in new]
        encoded = codec.encode(chunks)
        lost = {text for text, decoded in codec.changed(chunks, encoded) if is_lost(text, decoded)}
        for word, chunk, ids in zip(new, chunks, encoded, strict=True):
            known[word] = None if chunk in lost or codec.special_token(chunk, ids) else len(ids)


def _is_plain(text: str) -> bool:
    return text.isprintable() and "  " not in text and text[:1] != " " and text[-1:] != " "


def is_lost(text: str, decoded: str) -> bool:
    """Return whether a character is missing or words have run together."""
    if decoded == text:
        return False
    (characters, blanks), (other_characters, other_blanks) = _folded(text), _folded(decoded)
    return characters != other_characters or not blanks <= other_blanks


def _folded(text: str) -> tuple[str, set[int]]:
    """Return a text without blanks, case and Unicode form, and the number of characters before each inner blank."""
    # SentencePiece's blank mark (U+2581) comes back as a blank.
    words = unicodedata.normalize("NFKD", text.replace("\u2581", " ")).casefold().split()
    ends = list(itertools.accumulate(map(len, words)))
    return "".join(words), set(ends[:-1])
