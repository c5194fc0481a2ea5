"""Kinds of final answers: marks and contents, each with the status that a careful reader gives."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from ...support.answer_kinds import PAGE, ROOT, RULES, cases, page_with_table
from ...support.reward_file import load


@pytest.fixture(scope="module")
def reward() -> Iterator[Any]:
    module: Any = load()
    yield module
    module.close()


@pytest.mark.parametrize("kind", RULES)
def test_every_case_gets_the_status_of_a_careful_reader(reward: Any, kind: str) -> None:
    mine = [case for case in cases() if case["kind"] == kind]
    results = reward.compute_score_batch(
        [""] * len(mine), [case["output"] for case in mine], [case["gold"] for case in mine]
    )
    assert len(mine) >= 24
    assert {case["status"] for case in mine} >= {"correct"}
    assert [
        (case["gold"], case["output"], case["status"], result["status"])
        for case, result in zip(mine, results, strict=True)
        if case["status"] != result["status"]
    ] == []


def test_the_documentation_shows_every_kind() -> None:
    assert {case["kind"] for case in cases()} == set(RULES)
    assert PAGE.read_text() == page_with_table()


def test_every_mark_matches_its_example_and_nothing_without_its_opener(reward: Any) -> None:
    for mark in reward.MARKS:
        result = reward.compute_score("", mark.example, mark.reads)
        assert (result["status"], result["mark"]) == ("correct", mark.name), mark.example
        assert any(hint in mark.example for hint in mark.hints), mark.example
        opener = re.compile(mark.opener, re.VERBOSE | re.MULTILINE | re.DOTALL)
        assert opener.search(mark.example), mark.example
        without = opener.sub(" ", mark.example, count=1)
        assert reward.compute_score("", without, mark.reads)["mark"] != mark.name, without


ORDER = [
    ("\\boxed{1} #### 2 The answer is 3. So **4**.", "1", "boxed"),
    ("#### 2\nThe answer is 3. So **4**.", "2", "hash"),
    ("So **4**. The answer is 3.", "3", "phrase"),
    ("5 + 1 = 6. So **4** are left of 9.", "4", "bold"),
    ("5 + 1 = 6. So 6 are left of 9.", "6", "unmarked"),
    ("\\boxed{1} <answer>2</answer>", "2", "tag"),
    ("<answer>2</answer> \\boxed{1}", "1", "boxed"),
    ('{"answer": 3} <answer>2</answer>', "2", "tag"),
    ('\\boxed{1} {"answer": 3}', "3", "json"),
    ('\\boxed{1} {"result": 3}', "1", "boxed"),
]


@pytest.mark.parametrize(("solution", "gold", "mark"), ORDER)
def test_the_last_mark_of_the_strongest_kind_counts(reward: Any, solution: str, gold: str, mark: str) -> None:
    result = reward.compute_score("", solution, gold)
    assert (result["status"], result["mark"]) == ("correct", mark)


STRICT = [
    ("\\boxed{18}", "correct", "correct"),
    ("#### 18", "correct", "correct"),
    ("\\boxed{17}", "wrong", "wrong"),
    ("The answer is 18.", "correct", "no_answer"),
    ("<answer>18</answer>", "correct", "no_answer"),
    ('{"answer": 18}', "correct", "no_answer"),
    ("So she has **18**.", "correct", "no_answer"),
    ("9 * 2 = 18", "correct", "no_answer"),
    ("18", "correct", "no_answer"),
    ("\\boxed{18} Once more: \\boxed{", "no_answer", "no_answer"),
    ("\\boxed{20}. Wait, that is wrong. The answer is 18.", "correct", "no_answer"),
    ("\\boxed{\\sqrt{324}}", "correct", "correct"),
]


@pytest.mark.parametrize(("solution", "lenient", "strict"), STRICT)
def test_strict_accepts_only_closed_boxes_and_the_hash_mark(
    reward: Any, solution: str, lenient: str, strict: str
) -> None:
    assert reward.compute_score("", solution, "18")["status"] == lenient
    assert reward.compute_score("", solution, "18", strict=True)["status"] == strict
    assert reward.compute_score_batch([""], [solution], ["18"], strict=True)[0]["status"] == strict


def test_strict_credits_a_subset_of_lenient(reward: Any) -> None:
    rows = cases()
    columns = [""] * len(rows), [row["output"] for row in rows], [row["gold"] for row in rows]
    lenient, strict = reward.compute_score_batch(*columns), reward.compute_score_batch(*columns, strict=True)
    pairs = {(one["status"], other["status"]) for one, other in zip(lenient, strict, strict=True)}
    assert pairs == {
        ("correct", "correct"),
        ("correct", "no_answer"),
        ("wrong", "wrong"),
        ("wrong", "no_answer"),
        ("no_answer", "no_answer"),
    }


def test_forms_of_other_sources_get_the_status_of_a_careful_reader(reward: Any) -> None:
    """Headings, choices, lists, languages, truncation, second thoughts, written without knowledge of the rules.

    Of 2,619 cases, 58 have another status and are not in the file; docs/answers.md lists them.
    """
    rows = [
        json.loads(line) for line in (ROOT / "tests" / "data" / "answers_in_the_wild.jsonl").read_text().splitlines()
    ]
    results = reward.compute_score_batch(
        [""] * len(rows), [row["output"] for row in rows], [row["gold"] for row in rows]
    )
    assert len(rows) > 1500
    assert sum(row["credited"] for row in rows) > 500
    assert [
        (row["gold"], row["output"], result["status"])
        for row, result in zip(rows, results, strict=True)
        if row["credited"] != (result["score"] == 1.0)
    ] == []


def test_an_unreadable_completion_affects_no_other(reward: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reward, "_marked", lambda text, gold: 1 / len(text.strip("x")))
    statuses = [result["status"] for result in reward.compute_score_batch([""] * 2, ["xx", None], ["5", "5"])]
    assert statuses == ["error", "no_answer"]
