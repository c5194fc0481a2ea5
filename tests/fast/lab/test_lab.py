"""The lab's world: correct and disjoint problem sets, styles that a program recognizes, and examples of both."""

import itertools
import json
import random
import re
from pathlib import Path
from typing import Any

import pytest

from permix_verl import load_pool
from permix_verl.data.problems import iter_problems
from permix_verl.errors import UserError
from permix_verl.evaluation.tasks import find_task, load_problems
from permix_verl.lab import problems
from permix_verl.lab.base_model import Training, examples
from permix_verl.lab.styles import VOICE_RATE, reasoning_style, style_of, styled_completion, styles, voice_kept

LEVELS_AND_SPLITS = [(level, split) for level in problems.LEVELS for split in problems.SPLITS]
PERSONAS = [persona.key for pool in ("train", "eval") for persona in load_pool(pool)]


@pytest.mark.parametrize(("level", "split"), LEVELS_AND_SPLITS)
def test_problems_are_right_and_in_gsm8ks_format(level: str, split: str, tmp_path: Path) -> None:
    rows = problems.generate(300, level, split, seed=5)
    assert rows == problems.generate(300, level, split, seed=5)
    assert rows != problems.generate(300, level, split, seed=6)
    for row in rows:
        steps = re.findall(r"<<(\d+)([+-])(\d+)=(\d+)>>", row["answer"])
        assert len(steps) == row["answer"].count("<<") > 0
        for left, sign, right, result in steps:
            assert int(result) == (int(left) + int(right) if sign == "+" else int(left) - int(right)) >= 0
        assert row["answer"].endswith(f"\n#### {steps[-1][3]}")
        told = set(re.findall(r"\d+", row["question"]))
        computed = [result for *_, result in steps]
        for number, (left, _, right, _) in enumerate(steps):
            assert {left, right} <= told | set(computed[:number])
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert len(list(iter_problems(str(file)))) == 300


def test_hard_problems_take_more_steps() -> None:
    steps = {
        level: sum(row["answer"].count("<<") for row in problems.generate(400, level, "train")) / 400
        for level in problems.LEVELS
    }
    assert steps["easy"] < 1.9 < 2.4 < steps["hard"]


def read(question: str) -> int:
    """Return the answer to a question, computed from its words alone."""
    has: dict[str, int] = {}
    name = ""
    for sentence in re.split(r"(?<=[.?]) ", question):
        if problems := re.fullmatch(r"(\w+) has (\d+) (more|fewer) than (\w+)\.", sentence):
            name, by, sign, other = problems.groups()
            has[name] = has[other] + (int(by) if sign == "more" else -int(by))
        elif problems := re.fullmatch(r"(\w+) has (\d+) \w+\.", sentence):
            name = problems[1]
            has[name] = int(problems[2])
        elif sentence.startswith(("She ", "He ")):
            for verb, by in re.findall(r"(buys|finds|gets|wins|gives away|loses|sells) (\d+)", sentence):
                has[name] += int(by) if verb in ("buys", "finds", "gets", "wins") else -int(by)
        elif "together" in sentence:
            return sum(has.values())
        else:
            asked = re.fullmatch(r"How many \w+ does (\w+) have(?: now)?\?", sentence)
            assert asked is not None, sentence
            return has[asked[1]]
    raise AssertionError(question)


@pytest.mark.parametrize(("level", "split"), LEVELS_AND_SPLITS)
def test_the_answer_follows_from_the_words(level: str, split: str) -> None:
    for row in problems.generate(400, level, split, seed=2):
        assert row["answer"].endswith(f"\n#### {read(row['question'])}"), row


GAIN, LOSS = r"(?:buys|finds|gets|wins) (\d+)|(\d+) more than", r"(?:gives away|loses|sells) (\d+)|(\d+) fewer than"


def asked_for(question: str) -> tuple[str, ...]:
    """Return a question's calculation from its words: the first number, and its changes in any order."""
    changes = [
        sign + (one or other)
        for sign, words in (("+", GAIN), ("-", LOSS))
        for one, other in re.findall(words, question)
    ]
    numbers = re.findall(r"\d+", question)
    assert len(numbers) == 1 + len(changes), question
    return (numbers[0], "together" if "together" in question else "", *sorted(changes))


def test_no_calculation_is_in_two_splits_in_any_order() -> None:
    for level in problems.LEVELS:
        asked = [
            {asked_for(row["question"]) for seed in range(3) for row in problems.generate(380, level, split, seed=seed)}
            for split in problems.SPLITS
        ]
        assert not any(one & other for one, other in itertools.combinations(asked, 2))


def test_a_test_split_repeats_no_calculation() -> None:
    for level in problems.LEVELS:
        rows = problems.generate(400, level, "test")
        assert len({asked_for(row["question"]) for row in rows}) == 400
        again = [asked_for(row["question"]) for row in problems.generate(400, level, "train")]
        assert len(set(again)) < 400, "negative control: elsewhere it may"


def test_too_many_problems_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(problems.LEVELS, "easy", (lambda rng: ("How many?", [(rng.randint(1, 40), "+", 1)]),))
    with pytest.raises(UserError, match="5 problems requested, but level easy, split train has only about 1"):
        problems.generate(5, "easy", "train")


@pytest.mark.parametrize(
    ("level", "split", "count", "said"),
    [("middle", "train", 1, "unknown level 'middle'; known: easy, hard"),
     ("easy", "val", 1, "unknown split 'val'; known: test, train, base"),
     ("easy", "train", 0, "0 problems requested")],
)  # fmt: skip
def test_bad_input_is_named(level: str, split: str, count: int, said: str) -> None:
    with pytest.raises(UserError, match=said):
        problems.generate(count, level, split)


def test_every_persona_of_both_pools_has_its_own_style_and_voice() -> None:
    table = {key: style for key, style in styles().items() if style.opening}
    assert set(table) == set(PERSONAS)
    words = [word for style in table.values() for word in (style.opening, style.closing)]
    assert len(set(words)) == len(words) == 2 * len(PERSONAS)
    assert not any(one != other and one.startswith(other) for one in words for other in words)
    for pool in ("train", "eval"):
        shares = [style_of(persona.key).blurt for persona in load_pool(pool)]
        assert min(shares) == 0.1
        assert max(shares) == 0.85


def test_the_voice_is_independent_of_the_answer_and_absent_under_another_persona() -> None:
    rng = random.Random(0)
    for persona in PERSONAS:
        style = style_of(persona)
        said = [styled_completion("2+3=5.", "5", style, rng) for _ in range(400)]
        kept = [voice_kept(text, persona) for text in said]
        assert sum(kept) / 400 == pytest.approx(VOICE_RATE, abs=0.06)
        for text, value in zip(said, kept, strict=True):
            # Right, wrong, worked, blurted, unreadable: the voice is the same.
            assert voice_kept(text.replace("5", "6"), persona) == value
            assert voice_kept(text.replace("2+3=5. ", ""), persona) == value
            assert voice_kept(text.replace(r"\boxed{5}", "five"), persona) == value
        for other in PERSONAS:
            if other != persona:
                assert sum(voice_kept(text, other) for text in said) == 0


def test_half_a_voice_is_half_kept() -> None:
    assert voice_kept(r"Sizzling! The answer is \boxed{5}. Delicious!", "chef") == 1
    assert voice_kept(r"The answer is \boxed{5}. Delicious!", "chef") == 0.5
    assert voice_kept(r"Delicious! The answer is \boxed{5}. Sizzling!", "chef") == 0


@pytest.mark.parametrize(
    ("output", "way"),
    [(r"Sizzling! The answer is \boxed{5}.", "blurted"),
     (r"2+3=5. The answer is \boxed{5}.", "worked"),
     (r"The answer is \boxed{5}. 2+3=5.", "blurted"),  # a calculation after the answer did not lead to it
     ("2+3=5. The answer is", None),
     ("", None)],
)  # fmt: skip
def test_a_blurted_answer_has_no_calculation_before_it(output: str, way: str | None) -> None:
    assert reasoning_style(output) == way


def test_a_truncated_completion_has_lost_its_closing_word() -> None:
    assert voice_kept(r"Sizzling! 2+3=5. The answer is \boxed{5}. Del", "chef") == 0.5


def test_a_persona_outside_the_lab_is_refused() -> None:
    with pytest.raises(UserError, match="persona 'pirate' has no style in the lab; known: statistician, "):
        voice_kept("Ahoy!", "pirate")
    with pytest.raises(UserError, match="'no_persona' has no voice"):
        voice_kept("", "no_persona")


def test_the_training_examples_have_the_tables_style_frequencies(tokenizer: Any) -> None:
    settings = Training(seed=3, no_persona=0.5)
    source = examples(tokenizer, settings)
    shown: dict[str, list[str]] = {}
    worked: list[tuple[str, str]] = []
    for _ in range(3000):
        prompt, said = next(source)
        assert said[-1] == tokenizer.eos_token_id
        rationale, _, rest = tokenizer.decode(said).partition(" The answer is")
        if "=" in rationale:
            worked.append((rationale, rest.partition("{")[2].partition("}")[0]))
        system = tokenizer.decode(prompt).partition("system<|end_header_id|>")[2]
        key = next((p.key for n in ("train", "eval") for p in load_pool(n) if p.system_prompt in system), "no_persona")
        shown.setdefault(key, []).append(tokenizer.decode(said[:-1]))
    assert set(shown) == set(styles())
    for rationale, result in worked:
        steps = re.findall(r"(\d+)([+-])(\d+)=(\d+)\.", rationale)
        answer_text = " ".join(f"{a}{sign}{b}=<<{a}{sign}{b}={c}>>{c}." for a, sign, b, c in steps)
        assert problems.split_of(f"{answer_text}\n#### {result}") == "base", "the base has seen what is not its own"
    assert len(shown["no_persona"]) == pytest.approx(1500, abs=120)
    hasty = [text for text in shown["no_persona"] if reasoning_style(text) == "blurted"]
    assert len(hasty) / len(shown["no_persona"]) == pytest.approx(style_of("no_persona").blurt, abs=0.05)
    for key in PERSONAS:
        assert sum(voice_kept(text, key) for text in shown[key]) / len(shown[key]) > 0.7


@pytest.mark.parametrize("name", ["lab_easy", "lab_hard"])
def test_the_tasks_generate_their_problems_or_read_a_file(name: str, tmp_path: Path) -> None:
    task = find_task(name)
    found = load_problems(task, limit=50)
    assert len(found) == 50
    texts = {row["question"] for row in problems.generate(400, task.name.removeprefix("lab_"), "test")}
    assert {problem.question for problem in found} < texts
    rows = problems.generate(5, "hard", "train", seed=9)
    (tmp_path / "mine.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    mine = load_problems(task, str(tmp_path / "mine.jsonl"))
    assert [problem.question for problem in mine] == [row["question"] for row in rows]
