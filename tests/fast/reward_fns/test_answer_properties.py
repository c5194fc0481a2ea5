"""Properties of answer extraction: one status for all notations of a value, and no other value is "correct"."""

import re
import string
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ...support.reward_file import load

UNITS = ("apples", "dollars", "km", "cups of flour", "degrees")
CHATTER = (
    "",
    " Arr, mind the 3 cookies!",
    "\n\nRemember rule no. 7, dear.",
    " I have sailed 12 seas in my time.",
    "\nWant to try 2 more?",
)
ONES = "zero|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|thirteen|fourteen|fifteen|sixteen"
SMALL = re.findall(r"\w+", f"{ONES}|seventeen|eighteen|nineteen")
TENS = re.findall(r"\w+", "twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety")


@pytest.fixture(scope="module")
def reward() -> Iterator[Any]:
    module: Any = load()
    yield module
    module.close()


def in_words(value: int) -> str:
    if value >= 1000:
        return f"{in_words(value // 1000)} thousand" + (f" {in_words(value % 1000)}" if value % 1000 else "")
    if value >= 100:
        return f"{SMALL[value // 100]} hundred" + (f" and {in_words(value % 100)}" if value % 100 else "")
    if value >= 20:
        return TENS[value // 10 - 2] + (f"-{SMALL[value % 10]}" if value % 10 else "")
    return SMALL[value]


def written(value: Fraction) -> list[str]:
    """Return the unambiguous notations of a number."""
    sign, size = ("-" if value < 0 else ""), abs(value)
    if size.denominator == 1:
        whole = size.numerator
        ways = [f"{sign}{whole}", f"{sign}{whole}.0", f"{sign}{whole:,}", f"{sign}\\${whole}", f"{sign}{2 * whole}/2"]
        ways.append(f"{sign}{whole:,}".replace(",", "{,}"))
        ways.append(f"{sign}{whole}".translate(str.maketrans(string.digits, "٠١٢٣٤٥٦٧٨٩")))
        if sign == "":
            ways.append(in_words(whole))
        return ways
    ways = [f"{sign}{size.numerator}/{size.denominator}", f"{sign}\\frac{{{size.numerator}}}{{{size.denominator}}}"]
    if 100 % size.denominator == 0:
        ways += [f"{sign}{float(size):.2f}", f"{sign}{float(size):.3f}"]
    return ways


MARKED: tuple[Callable[[str], str], ...] = (
    lambda text: f"So it is \\boxed{{{text}}}.",
    lambda text: f"So it is \\boxed{{\\textbf{{{text}}}}}." if "\\" not in text else f"\\fbox{{{text}}}",
    lambda text: f"#### {text}",
    lambda text: f"The answer is {text}.",
    lambda text: f"**Answer:** **{text}**",
    lambda text: f"Answer: `{text}`" if "\\" not in text else f"Answer: ${text}$",
    lambda text: f"<answer>{text}</answer>",
    lambda text: f'<answer unit="m">({text})</answer>' if "/" not in text else f"<result>{text}</result>",
    lambda text: '{"answer": "' + text.replace("\\", "\\\\") + '"}',
    lambda text: f"La respuesta es {text}.",
)

values = st.one_of(
    st.integers(-99, 999_999).map(Fraction),
    st.builds(Fraction, st.integers(-500, 5_000), st.sampled_from([2, 4, 5, 20, 25, 3, 7, 8])),
)


def status_of(reward: Any, solution: str, gold: str) -> str:
    status: str = reward.compute_score("", solution, gold)["status"]
    return status


@settings(max_examples=150, deadline=None, database=None, derandomize=True)
@given(values, st.sampled_from(MARKED), st.sampled_from(CHATTER), st.data())
def test_any_notation_behind_any_mark_is_correct(
    reward: Any, value: Fraction, mark: Callable[[str], str], chatter: str, data: Any
) -> None:
    text = data.draw(st.sampled_from(written(value)))
    solution = mark(text) + chatter
    assert status_of(reward, solution, str(value)) == "correct", solution


@settings(max_examples=150, deadline=None, database=None, derandomize=True)
@given(values, values, st.sampled_from(MARKED), st.sampled_from(CHATTER), st.data())
def test_another_value_is_never_correct(
    reward: Any, value: Fraction, other: Fraction, mark: Callable[[str], str], chatter: str, data: Any
) -> None:
    assume(abs(value - other) > Fraction(1, 1000))
    solution = mark(data.draw(st.sampled_from(written(value)))) + chatter
    assert status_of(reward, solution, str(other)) != "correct", solution


@settings(max_examples=100, deadline=None, database=None, derandomize=True)
@given(st.integers(2, 999_999), st.sampled_from(UNITS), st.sampled_from(CHATTER))
def test_an_unmarked_conclusion_is_read_before_chatter_and_givens(
    reward: Any, value: int, unit: str, chatter: str
) -> None:
    half = value // 2
    solution = (
        f"{half} + {value - half} = {value}. So Mia has {value} {unit} after getting {value - half} more.{chatter}"
    )
    assert status_of(reward, solution, str(value)) == "correct", solution
    assert status_of(reward, solution, str(value + 1)) == "wrong", solution
    if value - half != value:
        assert status_of(reward, solution, str(value - half)) == "wrong", solution


@settings(max_examples=60, deadline=None, database=None, derandomize=True)
@given(st.integers(100, 999_999), st.sampled_from(MARKED[:1] + MARKED[6:7]), st.integers(0, 40))
def test_a_completion_truncated_in_its_mark_has_no_answer(
    reward: Any, value: int, mark: Callable[[str], str], cut: int
) -> None:
    solution = mark(str(value))
    opened = solution.index(str(value))
    end = min(opened + cut % (len(str(value)) + 1), len(solution))
    for first in ("", "\\boxed{18} Let me check. ", "The answer is 18. Let me check. "):
        for gold in ("18", str(value), solution[opened:end] or "0"):
            assert status_of(reward, first + solution[:end], gold) == "no_answer"
