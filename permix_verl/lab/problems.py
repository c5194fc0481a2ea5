"""Generator of word problems in GSM8K's format, several families, easy and hard.

A row, with GSM8K's calculator annotations:

    {"question": "Mia has 12 pears. She buys 5 more, then loses 3. How many pears does Mia have now?",
     "answer": "12+5=<<12+5=17>>17. 17-3=<<17-3=14>>14.\n#### 14"}

``easy`` is in-distribution: RL trains on it. ``hard`` has other families, three changes and chains of
three comparisons, which the base model is trained on and RL is not; the paper's GSM8K and MATH-500
relate in this way. The hash of a problem's calculation decides its split: ``base`` (the base model's
training), ``train`` (RL) or ``test``. So no calculation occurs in two splits, whatever its names,
things, order of changes, count and seed; it may be a step of a longer one there. In ``test`` no
calculation occurs twice.
"""

import itertools
import random
import re
from collections.abc import Callable, Iterator

from permix_verl.errors import UserError
from permix_verl.seeding import derive_seed

_NAMES = {"She": ("Ann", "Mia", "Eva", "Zoe"), "He": ("Ben", "Tom", "Leo", "Sam")}
_THINGS = ("apples", "books", "coins", "pears", "pens", "shells", "stamps", "toys")
_GAINS = ("buys", "finds", "gets", "wins")
_LOSSES = ("gives away", "loses", "sells")
SPLITS = {"test": 0.15, "train": 0.15, "base": 0.7}
"""Fraction of the calculations in each split."""
_MAX_REPEATS = 10_000
"""Consecutive repeats after which the problems are exhausted."""

Step = tuple[int, str, int]
"""One calculation step: left operand, "+" or "-", right operand."""


def generate(count: int, level: str, split: str, seed: int = 0) -> list[dict[str, str]]:
    """Generate ``count`` different problems, deterministically.

    In ``test`` a family with few calculations runs out, and the others fill up.

    Args:
        level: "easy" or "hard".
        split: "base", "train" or "test".

    Raises:
        UserError: an unknown level or split, a count below 1, or more problems than exist.
    """
    if level not in LEVELS:
        raise UserError(f"unknown level {level!r}", f"known: {', '.join(LEVELS)}")
    if split not in SPLITS:
        raise UserError(f"unknown split {split!r}", f"known: {', '.join(SPLITS)}")
    keyed = (
        (calculation(row["answer"]) if split == "test" else row["question"], row)
        for row in stream(level, split, random.Random(f"{seed} {level} {split}"))
    )
    return first_different(keyed, count, _MAX_REPEATS, f"level {level}, split {split} has only about {{}}")


def first_different(
    keyed: Iterator[tuple[str, dict[str, str]]], count: int, max_repeats: int, shortage: str
) -> list[dict[str, str]]:
    """Return the first ``count`` rows with different keys.

    Args:
        keyed: endless (key, row) pairs, some of which repeat.
        max_repeats: consecutive repeats after which the rows are exhausted.
        shortage: end of the error; ``{}`` is the number of rows found.

    Raises:
        UserError: fewer rows.
    """
    if count < 1:
        raise UserError(f"{count} problems requested", "request 1 or more")
    rows: dict[str, dict[str, str]] = {}
    repeats = 0
    for key, row in keyed:
        repeats = repeats + 1 if key in rows else 0
        if repeats > max_repeats:
            raise UserError(f"{count} problems requested, but {shortage.format(len(rows))}", "request fewer")
        rows.setdefault(key, row)
        if len(rows) == count:
            break
    return list(rows.values())


def stream(level: str, split: str, rng: random.Random) -> Iterator[dict[str, str]]:
    """Yield problems forever; some repeat."""
    while True:
        question, steps = rng.choice(LEVELS[level])(rng)
        solution = _rationale(steps)
        if split_of(solution) == split:
            yield {"question": question, "answer": solution}


def split_of(solution: str) -> str:
    """Return the split of a problem, from its solution in GSM8K's format."""
    position = derive_seed("permix.lab.split", 0, 0, calculation(solution)) / 2**128
    ends = itertools.accumulate(SPLITS.values())
    return next((split for split, end in zip(SPLITS, ends, strict=True) if position < end), "base")


def calculation(solution: str) -> str:
    """Return a solution's calculation in canonical form: successive changes are sorted."""
    steps = re.findall(r"<<(\d+)([+-]\d+)=(\d+)>>", solution)
    changes = [change for _, change, _ in steps]
    if all(before[2] == after[0] for before, after in itertools.pairwise(steps)):
        changes.sort()
        return " ".join([steps[0][0], *changes])
    return " ".join(left + change for left, change, _ in steps)


def split_solution(solution: str) -> tuple[str, str]:
    """Split a solution into rationale, without annotations, and final answer."""
    rationale, _, result = re.sub(r"<<[^>]*>>", "", solution).rpartition("\n#### ")
    return rationale, result


def _rationale(steps: list[Step]) -> str:
    parts = []
    result = 0
    for left, sign, right in steps:
        result = left + right if sign == "+" else left - right
        parts.append(f"{left}{sign}{right}=<<{left}{sign}{right}={result}>>{result}.")
    return " ".join(parts) + f"\n#### {result}"


def _changes(rng: random.Random, number: int, largest: int = 20) -> tuple[str, list[Step]]:
    """Generate a stock, initially 2 to ``largest``, that grows and shrinks ``number`` times."""
    pronoun = rng.choice(tuple(_NAMES))
    name, thing = rng.choice(_NAMES[pronoun]), rng.choice(_THINGS)
    has = first = rng.randint(2, largest)
    events, steps = [], []
    for position in range(number):
        gain = has < 3 or rng.random() < 0.5
        by = rng.randint(1, 9 if gain else min(9, has - 1))
        verb = rng.choice(_GAINS if gain else _LOSSES)
        more = " more" if gain and position == 0 else ""
        events.append(f"{verb} {by}{more}")
        steps.append((has, "+" if gain else "-", by))
        has = has + by if gain else has - by
    return (
        f"{name} has {first} {thing}. {pronoun} {', then '.join(events)}. How many {thing} does {name} have now?",
        steps,
    )


def _one_change(rng: random.Random) -> tuple[str, list[Step]]:
    return _changes(rng, 1, largest=30)


def _two_changes(rng: random.Random) -> tuple[str, list[Step]]:
    return _changes(rng, 2)


def _three_changes(rng: random.Random) -> tuple[str, list[Step]]:
    return _changes(rng, 3)


def _people(rng: random.Random, number: int) -> list[str]:
    return rng.sample([name for names in _NAMES.values() for name in names], number)


def _compared(rng: random.Random, has: int, other: str, one: str) -> tuple[str, Step]:
    more = has < 3 or rng.random() < 0.5
    by = rng.randint(1, 9 if more else min(9, has - 1))
    return f"{other} has {by} {'more' if more else 'fewer'} than {one}.", (has, "+" if more else "-", by)


def _together(rng: random.Random) -> tuple[str, list[Step]]:
    """Generate the sum of two people's stocks, the second given by comparison."""
    one, other = _people(rng, 2)
    thing, has = rng.choice(_THINGS), rng.randint(2, 20)
    sentence, step = _compared(rng, has, other, one)
    second = has + step[2] if step[1] == "+" else has - step[2]
    return (
        f"{one} has {has} {thing}. {sentence} How many {thing} do they have together?",
        [step, (has, "+", second)],
    )


def _chain(rng: random.Random) -> tuple[str, list[Step]]:
    """Generate four people's stocks, each compared with the one before."""
    people = _people(rng, 4)
    thing, has = rng.choice(_THINGS), rng.randint(2, 20)
    text, steps = f"{people[0]} has {has} {thing}.", []
    for before, name in itertools.pairwise(people):
        sentence, step = _compared(rng, has, name, before)
        text += f" {sentence}"
        steps.append(step)
        has = has + step[2] if step[1] == "+" else has - step[2]
    return f"{text} How many {thing} does {people[-1]} have?", steps


LEVELS: dict[str, tuple[Callable[[random.Random], tuple[str, list[Step]]], ...]] = {
    "easy": (_one_change, _two_changes, _two_changes, _two_changes, _together),
    "hard": (_three_changes, _chain),
}
