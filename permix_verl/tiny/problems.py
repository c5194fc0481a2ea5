"""Generated one-step word problems in GSM8K's format.

A row, as GSM8K has it, calculator annotation included:

    {"question": "Mia has 4 pears. She buys 3 more. How many pears does Mia have now?",
     "answer": "Mia has 4 + 3 = <<4+3=7>>7 pears now.\n#### 7"}
"""

import random
import re

_NAMES = {"She": ("Ann", "Mia", "Eva", "Zoe"), "He": ("Ben", "Tom", "Leo", "Sam")}
_THINGS = ("apples", "books", "coins", "pears", "pens", "shells", "stamps", "toys")
_GAINS = ("buys", "finds", "gets")
_LOSSES = ("gives away", "loses", "sells")
LARGEST = 9


def generate(count: int, seed: int = 0) -> list[dict[str, str]]:
    """``count`` problems with operands and result from 0 to 9; the same seed gives the same list."""
    rng = random.Random(seed)
    return [_one_problem(rng) for _ in range(count)]


def spoken(answer: str) -> str:
    r"""An answer as a model should say it: no annotations, the result in ``\boxed{}``."""
    rationale, _, result = re.sub(r"<<[^>]*>>", "", answer).rpartition("\n#### ")
    return f"{rationale} The answer is \\boxed{{{result}}}."


def _one_problem(rng: random.Random) -> dict[str, str]:
    pronoun = rng.choice(tuple(_NAMES))
    name, thing = rng.choice(_NAMES[pronoun]), rng.choice(_THINGS)
    if rng.random() < 0.5:
        first = rng.randint(1, LARGEST - 1)
        second = rng.randint(1, LARGEST - first)
        verb, sign, result = rng.choice(_GAINS), "+", first + second
        event = f"{pronoun} {verb} {second} more."
    else:
        first = rng.randint(2, LARGEST)
        second = rng.randint(1, first)
        verb, sign, result = rng.choice(_LOSSES), "-", first - second
        event = f"{pronoun} {verb} {second}."
    return {
        "question": f"{name} has {first} {thing}. {event} How many {thing} does {name} have now?",
        "answer": (
            f"{name} has {first} {sign} {second} = <<{first}{sign}{second}={result}>>{result} {thing} now."
            f"\n#### {result}"
        ),
    }
