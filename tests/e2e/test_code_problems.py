"""The judge of programs on known programs: every correct one passes, every nearly correct one fails at its test."""

import datetime
import json
import re
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from permix_verl.code import Cases, ProgramResult, extract_program, judge
from permix_verl.sandbox import Sandbox

from ..support.code_problem_search import SEARCH
from ..support.code_problems import FUNCTIONAL, PROBLEMS, STDIN, Problem, write_livecodebench

CONCURRENCY = 2


@pytest.fixture(scope="module")
def sandbox() -> Sandbox:
    return Sandbox()


def judge_all(programs: list[tuple[str, Cases]], problem: Problem, sandbox: Sandbox) -> list[ProgramResult]:
    """Judge programs on their tests, two at a time."""
    with ThreadPoolExecutor(CONCURRENCY) as pool:
        return list(pool.map(lambda pair: judge(pair[0], pair[1], sandbox, problem.limits), programs))


@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda problem: problem.id)
def test_right_programs_pass_and_wrong_ones_fail_at_the_expected_test(problem: Problem, sandbox: Sandbox) -> None:
    expected = {f"right: {name}": ("correct", len(problem.tests), "") for name in problem.right}
    for name, wrong in problem.wrong.items():
        default = (
            "time limit" if wrong.status == "timeout" else "wrong output" if problem.call is None else "wrong value"
        )
        expected[f"wrong: {name}"] = (wrong.status, wrong.at - 1, wrong.detail or default)
    texts = [*problem.right.values(), *(wrong.text for wrong in problem.wrong.values())]
    results = judge_all([(text, problem.cases()) for text in texts], problem, sandbox)
    unexpected = {
        name: (result.summary, result)
        for (name, (status, passed, detail)), result in zip(expected.items(), results, strict=True)
        if (result.status, result.passed) != (status, passed) or detail not in result.detail
    }
    assert not unexpected


ONE_TEST = [(problem, wrong) for problem in PROBLEMS for wrong in problem.wrong.values() if wrong.only]


@pytest.mark.parametrize("kind", ["stdin", "functional"])
def test_without_the_one_test_that_catches_them_wrong_programs_pass(kind: str, sandbox: Sandbox) -> None:
    some = [(problem, wrong) for problem, wrong in ONE_TEST if (problem.call is None) == (kind == "stdin")][::2]
    assert len(some) >= 10
    with ThreadPoolExecutor(CONCURRENCY) as pool:
        results = pool.map(
            lambda pair: judge(pair[1].text, pair[0].cases(without=pair[1].at), sandbox, pair[0].limits), some
        )
        failing = [
            (problem.id, result.summary)
            for (problem, _), result in zip(some, results, strict=True)
            if result.status != "correct"
        ]
    assert not failing


def test_the_set_is_large_and_has_both_kinds_of_problems() -> None:
    assert len(PROBLEMS) >= 44
    assert min(len(STDIN), len(FUNCTIONAL)) >= 22
    assert len({problem.id for problem in PROBLEMS}) == len(PROBLEMS)
    for problem in PROBLEMS:
        assert 4 <= len(problem.tests) <= 8, problem.id
        assert len(problem.right) >= 3, problem.id
        assert len(problem.wrong) >= 3, problem.id
        assert all(1 <= wrong.at <= len(problem.tests) for wrong in problem.wrong.values()), problem.id
        assert bool(problem.starter) == bool(problem.call), problem.id
    statuses = Counter(wrong.status for problem in PROBLEMS for wrong in problem.wrong.values())
    assert statuses["timeout"] >= 5
    hidden = [wrong for problem in PROBLEMS for wrong in problem.wrong.values() if wrong.at > problem.public]
    assert len(hidden) >= 50


IDIOMS = [
    r"(?<!\.)\binput\(\)",
    r"sys\.stdin\.readline\(\)",
    r"sys\.stdin\.buffer\.readline\(\)[\s\S]*sys\.stdin\.buffer\.readline\(\)",
    r"sys\.stdin\.buffer\.read\(\)",
    r"open\(0\)\.read\(\)",
    r"open\('/dev/stdin'\)",
    r"for line in sys\.stdin\b",
    r"os\.read\(0,",
    r"fileinput\.input\(\)",
    r"except EOFError",
    r"(?m)^ +global ",
    r"sys\.stdout\.buffer\.write\(",
    r"sys\.stdout\.write\(",
    r"os\.write\(1,",
    r'print\(.*sep="\\n"',
    r'print\(.*end="',
    r'print\("\\n\\n"\)',
    r"if __name__ == .__main__.:",
    r"threading\.stack_size\(",
    r"@(functools\.)?lru_cache",
    r"(?m)^ +exit\(\)",
    r"(?m)^quit\(\)",
    r"(?m)^sys\.exit\(0\)",
    r"^(?![\s\S]*import)[\s\S]*(?<!\.)\bstdin\.readline\(\)",
    r"^(?![\s\S]*import)[\s\S]*\bList\[",
    r"^(?![\s\S]*import)[\s\S]*\bOptional\[",
    r"^(?![\s\S]*import)[\s\S]*\bdefaultdict\(",
    r"^(?![\s\S]*import)[\s\S]*\bdeque\(",
    r"^(?![\s\S]*import)[\s\S]*\bCounter\(",
    r"^(?![\s\S]*import)[\s\S]*\bheappush\(",
    r"^(?![\s\S]*import)[\s\S]*\bbisect_left\(",
    r"^(?![\s\S]*import)[\s\S]*\bsqrt\(",
    r"^(?![\s\S]*import)[\s\S]*\bgcd\(",
    r"^(?![\s\S]*import)[\s\S]*\binf\b",
    r"^(?![\s\S]*import)[\s\S]*\baccumulate\(",
    r"^(?![\s\S]*import)[\s\S]*\breduce\(",
    r"^(?![\s\S]*import math)[\s\S]*\bmath\.floor\(",
    r"import numpy",
    r"class (?!Solution)\w+",
    r"\byield\b",
    r"@memo\b",
    r"class Solution:\n( .*\n|\n)*    def \w+[\s\S]*\n    def ",
    r"^\n+def \w+[\s\S]*class Solution",
    r"np\.int64\(",
]
"""Patterns of reading, writing and program structure; each occurs in at least one correct program."""


def test_right_programs_use_many_idioms() -> None:
    programs = [program for problem in PROBLEMS for program in problem.right.values()]
    assert [idiom for idiom in IDIOMS if not any(re.search(idiom, program) for program in programs)] == []


def test_a_program_is_extracted_whole_from_a_completion() -> None:
    for problem in PROBLEMS:
        for program in (*problem.right.values(), *(wrong.text for wrong in problem.wrong.values())):
            completion = (
                f"First the idea:\n\n```\nread, solve, print\n```\n\nThen:\n\n```python{program}```\n\nThat is all."
            )
            assert (extract_program(completion, problem.call) or "").strip() == program.strip()


def test_rows_in_livecodebenchs_format_hold_the_same_tests(tmp_path: Path) -> None:
    file = tmp_path / "test.jsonl"
    write_livecodebench(file)
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    assert [Cases.from_record(row) for row in rows] == [problem.cases() for problem in PROBLEMS]
    packed = [not row["private_test_cases"].startswith("[") for row in rows]
    assert packed == [number % 2 == 1 for number in range(len(rows))]
    days = [datetime.datetime.fromisoformat(row["contest_date"]) for row in rows]
    assert days == sorted(days)
    assert days[0].strftime("%Y-%m") == "2023-05"
    assert days[-1].strftime("%Y-%m") == "2025-04"
    assert {row["platform"] for row in rows} == {"atcoder", "codeforces", "leetcode"}
    assert min(Counter(row["difficulty"] for row in rows).values()) >= 5
    assert {row["difficulty"] for row in rows} == {"easy", "medium", "hard"}
    assert all(bool(row["starter_code"]) == ("func_name" in json.loads(row["metadata"])) for row in rows)


def test_expected_outputs_equal_those_of_plain_search() -> None:
    checked = Counter[str]()
    for problem in PROBLEMS:
        for given, wanted in problem.tests:
            if problem.id not in SEARCH or len(given) > 6000:
                continue
            if problem.call is None:
                output = SEARCH[problem.id](given)
                same = output is None or str(output).split() == wanted.split()
            else:
                output = SEARCH[problem.id](*map(json.loads, given.split("\n")))
                same = output is None or output == json.loads(wanted)
            assert same, (problem.id, given, wanted, output)
            checked[problem.id] += output is not None
    assert set(SEARCH) == set(checked)
    assert min(checked.values()) >= 3
