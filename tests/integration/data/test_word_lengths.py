"""Tokens of plain texts as sums over their words: exact, or given up."""

import random
from typing import Any

import pytest

from permix_verl import Persona, PersonaPool, UserError
from permix_verl.data import word_lengths
from permix_verl.data.round_trip import check_round_trip, text_lengths
from permix_verl.data.word_lengths import WordLengths
from permix_verl.lab.base_model import build_tokenizer

from .test_longest_personas import across_words, byte_level

RNG = random.Random(1)
PLAIN = "You are a baker who counts 3.50 apples, \u20ac5 coins and over-the-top plans in Oslo; na\u00efve? (Yes!) don't"
ODD_WORDS = (
    "\u65e5\u672c\u8a9e",
    "\U0001f642",
    "{braces}",
    "x" * 60,
    "<|not|>",
    "2024,",
    "A.I.",
    "...",
    "e\u0301t\u00e9",
)
WORDS = [*PLAIN.split(), *ODD_WORDS]
ODD = ["two  blanks", " before", "behind ", "a\nline", "a\ttab", "nbsp\u00a0here", "zero\u200bwidth", "a \u0301mark"]


def pool_of(texts: list[str]) -> PersonaPool:
    return PersonaPool("own", tuple(Persona(f"p{number}", "", text) for number, text in enumerate(texts)))


TEXTS = [" ".join(RNG.choices(WORDS, k=RNG.randint(1, 25))) + f" {number}" for number in range(900)]
POOL = pool_of([*TEXTS, *(f"{text} {word}" for word in ODD for text in TEXTS[:20])])


@pytest.fixture(autouse=True)
def few_whole_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(word_lengths, "WHOLE", 100)
    for module in ("round_trip",):
        monkeypatch.setattr(f"permix_verl.data.{module}.WHOLE", 100)
        monkeypatch.setattr(f"permix_verl.data.{module}._BATCH", 64)


def whole(tokenizer: Any, pool: PersonaPool) -> list[int]:
    texts = [persona.system_prompt for persona in pool]
    return [len(ids) for ids in tokenizer(texts, add_special_tokens=False)["input_ids"]]


@pytest.mark.parametrize("make", [build_tokenizer, byte_level, across_words])
def test_lengths_are_those_of_whole_texts(make: Any) -> None:
    tokenizer = make()
    assert text_lengths(tokenizer, POOL) == whole(tokenizer, POOL)


def test_words_are_used_where_lengths_are_sums_and_given_up_where_they_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[WordLengths] = []

    class Noted(WordLengths):
        def __init__(self) -> None:
            super().__init__()
            made.append(self)

    monkeypatch.setattr("permix_verl.data.round_trip.WordLengths", Noted)
    text_lengths(build_tokenizer(), POOL)
    text_lengths(across_words(), POOL)
    assert [(words.are_sums, words.used) for words in made] == [(True, True), (False, False)]


def test_a_tokenizer_that_changes_later_is_noticed_and_all_is_encoded_whole() -> None:
    """The first texts have no word on whose border a token lies; the later ones are made of nothing else."""
    tokenizer = across_words()
    first = [f"{number}" for number in range(300)]
    later = [" ".join(RNG.choices(["counts", "quickly", "in", "Oslo,", "apples"], k=20)) + f" {n}" for n in range(600)]
    pool = pool_of([*first, *later])
    words = WordLengths()
    assert text_lengths(tokenizer, pool) == whole(tokenizer, pool)
    codec = word_lengths.Codec(tokenizer)
    words.compare(codec, first, whole(tokenizer, pool)[:300])
    assert words.are_sums
    assert words.lengths(codec, later) != whole(tokenizer, pool)[300:], "the sums alone would be wrong"
    words.compare(codec, later, [])
    assert not words.are_sums


@pytest.mark.parametrize("text", ["sly.<|eot_id|> Really.", "<|eot_id|>", "You are <|begin_of_text|> sly"])
def test_a_special_token_is_found_in_a_late_plain_text(text: str) -> None:
    pool = pool_of([*TEXTS, text])
    for check in (text_lengths, check_round_trip):
        with pytest.raises(UserError, match=r"the text of persona 'p900' contains '<\|"):
            check(build_tokenizer(), pool)


def test_a_character_that_is_lost_is_found_in_a_late_plain_text() -> None:
    tokenizer = build_tokenizer()
    from tokenizers import normalizers

    tokenizer.backend_tokenizer.normalizer = normalizers.Replace("\u00e5", "")
    check_round_trip(tokenizer, pool_of(TEXTS))
    with pytest.raises(UserError, match=r"loses part of a text: '.*\u00e5"):
        check_round_trip(tokenizer, pool_of([*TEXTS, "You are from \u00c5lesund or \u00e5 town"]))


def test_many_words_are_forgotten_and_counted_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(word_lengths, "_MEMORY", 150)
    tokenizer = build_tokenizer()
    assert text_lengths(tokenizer, POOL) == whole(tokenizer, POOL)
