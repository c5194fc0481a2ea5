"""Persona-voiced replies without a marked answer, with and without a final extraction line.

    role_play_c.jsonl, role_play_e.jsonl   as instruction-tuned models write them
    role_play_a.jsonl, role_play_b.jsonl   hard: planted numbers, verse, number words, conclusions in mid-sentence

``stated`` is what a careful reader, who knows the question, takes for the answer. The reward knows no question.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ...support.reward_file import load

DATA = Path(__file__).resolve().parents[2] / "data"


@pytest.fixture(scope="module")
def reward() -> Iterator[Any]:
    module: Any = load()
    yield module
    module.close()


def replies(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (DATA / f"role_play_{name}.jsonl").read_text().splitlines()]


def credited(reward: Any, rows: list[dict[str, Any]], line: str) -> list[bool]:
    texts = [row["reply"] + line.format(**row) for row in rows]
    results = reward.compute_score_batch([""] * len(rows), texts, [row["gold"] for row in rows])
    return [result["score"] == 1.0 for result in results]


# Name, minimum of voices, maximum of lost right answers and of credited wrong ones, as measured (docs/answers.md).
SETS = [("c", 12, 1, 0), ("e", 10, 1, 0), ("a", 12, 19, 9), ("b", 10, 39, 2)]


@pytest.mark.parametrize(("name", "voices", "lost", "false"), SETS)
def test_replies_without_a_mark_are_scored_as_documented(
    reward: Any, name: str, voices: int, lost: int, false: int
) -> None:
    rows = replies(name)
    counts = credited(reward, rows, "")
    assert len(rows) >= 200
    assert len({row["voice"] for row in rows}) == voices
    assert sum(not row["correct"] for row in rows) >= 45
    assert sum(row["correct"] and not one for row, one in zip(rows, counts, strict=True)) <= lost
    assert sum(one and not row["correct"] for row, one in zip(rows, counts, strict=True)) <= false


@pytest.mark.parametrize("name", [name for name, *_ in SETS])
def test_with_an_extraction_line_every_reply_gets_its_stated_answers_score(reward: Any, name: str) -> None:
    rows = replies(name)
    for line in ("\n\nThe final answer is {stated}.", "\n\n#### {stated}", "\n\n\\boxed{{{stated}}}"):
        assert credited(reward, rows, line) == [row["correct"] for row in rows]


@pytest.mark.parametrize("name", ["c", "e"])
def test_role_play_costs_at_most_one_and_a_half_points_against_the_extraction_line(reward: Any, name: str) -> None:
    rows = replies(name)
    plain, marked = (sum(credited(reward, rows, line)) for line in ("", "\n\nThe final answer is {stated}."))
    assert (marked - plain) / len(rows) <= 0.015
