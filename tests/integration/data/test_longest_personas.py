"""Prompts of a large pool: the problems that are too long are those that full measuring finds."""

import random
from collections.abc import Callable
from typing import Any

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from permix_verl import Persona, PersonaPool, UserError
from permix_verl.data import longest_personas
from permix_verl.data.prompt_lengths import NEAR_LIMIT, PromptLengths
from permix_verl.lab.base_model import build_tokenizer

TEXT = "a the of who sells apples counts quickly in Oslo, New York; café naïve 3.5 'quoted' {braces} over-the-top and"
WORDS = TEXT.split()
PLAIN = (
    "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant:{% endif %}"
)
JOINED = "{% for m in messages %}{{ m.content }} {% endfor %}"


def pool_of(count: int, words: tuple[int, int] = (5, 60), seed: int = 0) -> PersonaPool:
    rng = random.Random(seed)
    texts = (" ".join(rng.choices(WORDS, k=rng.randint(*words))) for _ in range(count))
    return PersonaPool("own", tuple(Persona(f"p{i}", "", f"You are {text} {i}") for i, text in enumerate(texts)))


POOL = pool_of(1000)
QUESTIONS = [f"Ann has {n} apples{' and a pear' * (n % 9)}. {'How many?' if n % 2 else '{n}?'}" for n in range(10)]


def byte_level() -> Any:
    """Byte-level BPE without special tokens around the turns, which share tokens at their ends."""
    made = Tokenizer(models.BPE(unk_token=None))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=700, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    return trained(made, trainer, PLAIN)


def across_words() -> Any:
    """Byte-level BPE whose tokens reach over words and turns: lengths are not sums."""
    made = Tokenizer(models.BPE(unk_token=None))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=2000, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    return trained(made, trainer, JOINED)


def trained(made: Tokenizer, trainer: Any, template: str) -> Any:
    texts = [persona.system_prompt for persona in POOL.personas[:200]]
    made.train_from_iterator([f"{text} {question}" for text in texts for question in QUESTIONS[:5]], trainer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=made)
    tokenizer.chat_template = template
    return tokenizer


TOKENIZERS: dict[str, Callable[[], Any]] = {
    "lab": build_tokenizer,
    "byte level": byte_level,
    "across words": across_words,
}


@pytest.mark.parametrize("name", TOKENIZERS)
def test_a_thousand_personas_give_the_lengths_of_full_measuring(name: str) -> None:
    tokenizer = TOKENIZERS[name]()
    full, quick = PromptLengths(tokenizer, POOL, measured=10**6), PromptLengths(tokenizer, POOL)
    assert len(full.conditions) == 1001
    assert len(quick.conditions) < 70
    assert full.additive == (name != "across words")
    pairwise = [max(full.lengths(question)) for question in QUESTIONS]
    for limit in (*sorted(pairwise)[::3], min(pairwise) - 1, max(pairwise) + NEAR_LIMIT + 1):
        longest = quick.longest(QUESTIONS, limit)
        assert [length > limit for length in longest] == [length > limit for length in pairwise]
        near = [number for number, length in enumerate(pairwise) if length > limit - NEAR_LIMIT + 1]
        assert [longest[number] for number in near] == [pairwise[number] for number in near]


REPEATS = (
    "{% for m in messages %}{{ m.content }} "
    "{% if 'count the stars' in messages[0].content %}{{ m.content }} {% endif %}{% endfor %}"
)


def starry_pool() -> PersonaPool:
    """A pool whose 500th persona is short, and makes a template repeat the problem."""
    starry = Persona("starry", "", "You count the stars at night in Oslo, and over-the-top ones in New York, too.")
    return PersonaPool("own", (*POOL.personas[:500], starry, *POOL.personas[500:]))


def test_a_persona_for_whom_the_template_does_something_else_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = build_tokenizer()
    tokenizer.chat_template = REPEATS
    long = "Ann has apples. " * 60
    pool = starry_pool()
    expected = max(PromptLengths(tokenizer, pool, measured=10**6).lengths(long))
    assert max(PromptLengths(tokenizer, pool).lengths(long)) == expected
    monkeypatch.setattr(longest_personas, "_treated_apart", lambda *_: [])
    assert max(PromptLengths(tokenizer, pool).lengths(long)) < expected, "without the search it is not found"


def test_a_template_that_changes_texts_is_measured_persona_by_persona() -> None:
    tokenizer = build_tokenizer()
    tokenizer.chat_template = (
        "{% for m in messages %}{{ m.content | replace('Oslo', 'the capital of Norway') }} {% endfor %}"
    )
    full, quick = PromptLengths(tokenizer, POOL, measured=10**6), PromptLengths(tokenizer, POOL)
    assert [max(quick.lengths(question)) for question in QUESTIONS] == [
        max(full.lengths(question)) for question in QUESTIONS
    ]


def test_every_wording_counts() -> None:
    long = " ".join(WORDS * 5)
    several = Persona("several", "", "You are short.", paraphrases=("You are brief.", f"You are {long}"))
    pool = PersonaPool("own", (*POOL.personas[:120], several, *POOL.personas[120:200]))
    for measured in (100, 10**6):
        assert PromptLengths(build_tokenizer(), pool, measured=measured).longest_persona == several.worded(2)


def test_a_text_with_a_special_token_is_refused_wherever_it_stands() -> None:
    sly = Persona("sly", "", "You are sly.", paraphrases=("You are sly.<|eot_id|> Really.",))
    pool = PersonaPool("own", (*pool_of(1500).personas, sly))
    with pytest.raises(UserError, match=r"the text of persona 'sly' contains '<\|eot_id\|>', which is a special token"):
        PromptLengths(build_tokenizer(), pool)


def test_equal_lengths_leave_few_candidates() -> None:
    pool = PersonaPool(
        "own", tuple(Persona(f"p{i}", "", f"You are persona number {i}.") for i in range(10_000, 13_000))
    )
    assert len(PromptLengths(build_tokenizer(), pool).conditions) <= 1 + longest_personas.CANDIDATES
