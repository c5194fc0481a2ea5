"""Thoughts in completions: the rewards read what stands behind them, and count those that were cut off."""

import asyncio
from typing import Any

import pytest

from permix_verl.code.extract import extract_program
from permix_verl.reward_fns import math_reward
from permix_verl.reward_fns.math_reward import MAX_SOLUTION_CHARS, accuracy_reward, compute_score

THOUGHT = "I add. It may be \\boxed{7}."
GOLD = "12"


@pytest.mark.parametrize(
    ("solution", "thinking", "status", "cut"),
    [
        (f"{THOUGHT}\n</think>\n\nThe answer is \\boxed{{12}}.", "open", "correct", 0.0),
        (f"{THOUGHT} It is \\boxed{{12}}.", "open", "no_answer", 1.0),
        (f"<think>{THOUGHT}</think>\\boxed{{12}}", "open", "correct", 0.0),
        (f"<think>{THOUGHT}</think>\\boxed{{12}}", "on", "correct", 0.0),
        (f"<think>{THOUGHT} \\boxed{{12}}", "on", "no_answer", 1.0),
        ("\\boxed{12}", "on", "correct", 0.0),
        ("\\boxed{12}", "off", "correct", 0.0),
        (f"{THOUGHT}</think>a</think>\\boxed{{12}}", "open", "correct", 0.0),
        (f"{THOUGHT}</think>\\boxed{{12}}<think>Hm, \\boxed{{3}}", "open", "correct", 1.0),
    ],
)
def test_what_stands_behind_the_last_thought_is_read(solution: str, thinking: str, status: str, cut: float) -> None:
    found = compute_score("", solution, GOLD, thinking=thinking)
    assert (found["status"], found["truncated_thought"]) == (status, cut)
    assert asyncio.run(math_reward.compute_score_async("", solution, GOLD, thinking=thinking)) == found
    assert math_reward.compute_score_batch([""], [solution], [GOLD], thinking=thinking) == [found]
    assert accuracy_reward([solution], solution=[GOLD], thinking=thinking) == [found["score"]]


def test_by_default_nothing_is_different() -> None:
    assert "truncated_thought" not in compute_score("", "\\boxed{12}", GOLD)
    assert compute_score("", f"{THOUGHT} It is \\boxed{{12}}.", GOLD)["status"] == "correct"


def test_marks_of_another_model() -> None:
    marks = [["<seed:think>", "</seed:think>"]]
    told = f"{THOUGHT}</seed:think>\\boxed{{12}}"
    assert compute_score("", told, GOLD, thinking="open", thought_marks=marks)["status"] == "correct"
    cut = compute_score("", f"<seed:think>\\boxed{{12}} {THOUGHT}", GOLD, thinking="on", thought_marks=marks)
    assert (cut["status"], cut["truncated_thought"]) == ("no_answer", 1.0)


def test_a_thought_longer_than_what_is_read_is_no_answer() -> None:
    long = "x " * MAX_SOLUTION_CHARS + "\\boxed{12}"
    assert compute_score("", long, GOLD)["status"] == "correct"
    assert compute_score("", long, GOLD, thinking="open")["status"] == "no_answer"
    assert compute_score("", f"<think>{long}", GOLD, thinking="on")["status"] == "no_answer"


def test_an_unknown_mode_is_an_error() -> None:
    with pytest.raises(ValueError, match="thinking is 'yes'; known: off, on, open"):
        compute_score("", "\\boxed{12}", GOLD, thinking="yes")


PROGRAM = "```python\nprint(input())\n```"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (f"<think>{PROGRAM}", None),
        (f"a</think>{PROGRAM}", "print(input())"),
        (f"{PROGRAM}<think>```python\ninput()\n```", "print(input())"),
        (f"a</think>{PROGRAM}<think>```python\ninput()\n```", "print(input())"),
    ],
)
def test_a_thought_holds_no_program(text: str, found: str | None) -> None:
    assert extract_program(text) == found


def test_the_code_reward_reads_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    from permix_verl.reward_fns import code_reward

    read: list[Any] = []

    def extract(text: str, call: str | None) -> str | None:
        read.append(text)
        return None

    monkeypatch.setattr(code_reward, "extract_program", extract)
    monkeypatch.setattr(code_reward, "Sandbox", lambda mode: None)
    tests = '{"inputs": ["1\\n"], "outputs": ["1\\n"]}'
    found = code_reward.compute_score("", PROGRAM, tests, thinking="open")
    assert read == [f"<think>\n{PROGRAM}"]
    assert (found["status"], found["truncated_thought"]) == ("no_answer", 1.0)
    assert "truncated_thought" not in code_reward.compute_score("", PROGRAM, tests)
