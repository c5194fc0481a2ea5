"""Word problems in plain words, of one step and of two, which a small language model answers now and then.

A row, in GSM8K's format:

    {"question": "Mia has 5 bags with 4 oranges in each. How many oranges does she have?",
     "answer": "5*4=<<5*4=20>>20.\\n#### 20"}

``plain_templates.jsonl`` has 122 everyday texts with blanks for names and numbers. Each belongs to one split, and a
calculation too, by its hash: what ``test`` asks is put into words that training does not have, about numbers that it
does not calculate with.
"""

import functools
import json
import random
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources

from permix_verl.errors import UserError
from permix_verl.lab.problems import first_different
from permix_verl.seeding import HASH_RANGE, derive_seed

PLAIN_LEVELS = ("plain_one", "plain_two")
PLAIN_SPLITS: Mapping[str, float] = {"test": 0.3, "validation": 0.15, "train": 0.55}
"""Fraction of the calculations in each split."""

_PEOPLE: Mapping[str, tuple[str, ...]] = {
    "she": ("Ada", "Bella", "Carla", "Dina", "Ella", "Grace", "Hanna", "Ivy", "Julia", "Kate", "Lily", "Nora"),
    "he": ("Adam", "Brian", "Carl", "David", "Eric", "Frank", "George", "Henry", "Jack", "Kevin", "Luke", "Oscar"),
}
_LARGEST: Mapping[tuple[int, bool], tuple[int, int]] = {
    (1, False): (20, 15),
    (1, True): (12, 6),
    (2, False): (12, 9),
    (2, True): (9, 5),
}
"""Steps, and whether the first is a product -> largest numbers ``a`` and ``b``; the smallest is 2."""
_MAX_REPEATS = 500
"""Consecutive repeats after which the problems are exhausted."""


@dataclass(frozen=True, slots=True)
class Template:
    """A text with blanks.

    Attributes:
        split: the only split that uses it.
        steps: each step of the calculation; ``x`` is the result of the one before.
        text: blanks ``a``, ``b``, ``c`` for numbers, ``name``, ``other`` and pronouns for two people.
    """

    level: str
    split: str
    steps: tuple[str, ...]
    text: str


@functools.cache
def templates(level: str, split: str) -> tuple[Template, ...]:
    """Return the templates of a level and split, in the file's order."""
    lines = resources.files(__package__).joinpath("plain_templates.jsonl").read_text(encoding="utf-8").splitlines()
    rows = (json.loads(line) for line in lines)
    found = (Template(row["level"], row["split"], tuple(row["steps"].split()), row["text"]) for row in rows)
    return tuple(template for template in found if (template.level, template.split) == (level, split))


def generate_plain(count: int, level: str, split: str, seed: int = 0) -> list[dict[str, str]]:
    """Generate ``count`` different problems, deterministically; the first ones are the same for any count.

    Every template has its turn before one comes again.

    Args:
        level: "plain_one" or "plain_two".
        split: "train", "validation" or "test".

    Raises:
        UserError: an unknown level or split, a count below 1, or more problems than exist.
    """
    if level not in PLAIN_LEVELS:
        raise UserError(f"unknown level {level!r}", f"known: {', '.join(PLAIN_LEVELS)}")
    if split not in PLAIN_SPLITS:
        raise UserError(f"level {level} has no split {split!r}", f"known: {', '.join(PLAIN_SPLITS)}")
    keyed = ((row["question"], row) for row in _stream(level, split, seed))
    return first_different(keyed, count, _MAX_REPEATS, f"{level} has about {{}} for {split}")


def split_of_calculation(calculation: str) -> str:
    """Return the split of a calculation, such as ``5*4 20+3``; ``4*5`` is the same one as ``5*4``."""
    steps = [_commuted(step) for step in calculation.split()]
    position = derive_seed("permix.plain", *steps) / HASH_RANGE
    for split, share in PLAIN_SPLITS.items():
        if position < share:
            return split
        position -= share
    return "train"


def calculation_of(solution: str) -> str:
    """Return the calculation of a solution in GSM8K's format, a step a word."""
    return " ".join(re.findall(r"<<([^=]+)=", solution))


def _commuted(step: str) -> str:
    sign = next(sign for sign in "+-*/" if sign in step)
    sides = step.split(sign)
    return sign.join(sorted(sides, key=int) if sign in "+*" else sides)


def _stream(level: str, split: str, seed: int) -> Iterator[dict[str, str]]:
    """Yield problems forever; some repeat."""
    order: list[Template] = []
    number = 0
    while True:
        rng = random.Random(derive_seed("permix.plain", seed, level, split, number))
        if not order:
            order = rng.sample(templates(level, split), len(templates(level, split)))
        yield _problem(order.pop(), rng)
        number += 1


def _problem(template: Template, rng: random.Random) -> dict[str, str]:
    while True:
        numbers = _numbers(template.steps, rng)
        if numbers is None:
            continue
        solution = _solution(template.steps, numbers)
        if split_of_calculation(calculation_of(solution)) == template.split:
            return {"question": _text(template.text, numbers, rng), "answer": solution}


def _numbers(steps: Sequence[str], rng: random.Random) -> dict[str, int] | None:
    """Draw the numbers of a template, or return ``None`` if these do not fit its steps."""
    largest_a, largest_b = _LARGEST[len(steps), "*" in steps[0]]
    numbers = {"a": rng.randint(2, largest_a), "b": rng.randint(2, largest_b)}
    if len(steps) > 1:
        times = steps[1] in ("x*c", "x/c")
        numbers["c"] = rng.randint(2, 5 if times else 50 if steps[1] == "c-x" else 9)
    result = 0
    for step in steps:
        left, sign, right = _operands(step, numbers, result)
        if (sign == "-" and left - right < 1) or (sign == "/" and left % right) or left == right:
            return None
        result = _calculate(left, sign, right)
    too_much_left = steps[1:] == ("c-x",) and result > 12
    return None if too_much_left else numbers


def _operands(step: str, numbers: Mapping[str, int], result: int) -> tuple[int, str, int]:
    values = {**numbers, "x": result}
    return values[step[0]], step[1], values[step[2]]


def _calculate(left: int, sign: str, right: int) -> int:
    return {"+": left + right, "-": left - right, "*": left * right, "/": left // right}[sign]


def _solution(steps: Sequence[str], numbers: Mapping[str, int]) -> str:
    parts, result = [], 0
    for step in steps:
        left, sign, right = _operands(step, numbers, result)
        result = _calculate(left, sign, right)
        parts.append(f"{left}{sign}{right}=<<{left}{sign}{right}={result}>>{result}.")
    return " ".join(parts) + f"\n#### {result}"


def _text(text: str, numbers: Mapping[str, int], rng: random.Random) -> str:
    pronoun = rng.choice(tuple(_PEOPLE))
    name = rng.choice(_PEOPLE[pronoun])
    other = rng.choice([person for people in _PEOPLE.values() for person in people if person != name])
    return text.format(
        **numbers, name=name, other=other, he=pronoun, He=pronoun.capitalize(), him="her" if pronoun == "she" else "him"
    )
