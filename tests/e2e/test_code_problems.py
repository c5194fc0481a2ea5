"""Judging programs for real: all that solve a problem in their many ways pass, and all that nearly do are caught."""

import datetime
import itertools
import json
import math
import re
import statistics
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from permix_verl.code import Cases, ProgramResult, extract_program, judge
from permix_verl.sandbox import Sandbox

from ..support.code_problems import FUNCTIONAL, PROBLEMS, STDIN, Problem, write_livecodebench

AT_A_TIME = 2


@pytest.fixture(scope="module")
def sandbox() -> Sandbox:
    return Sandbox()


def judged(programs: list[tuple[str, Cases]], problem: Problem, sandbox: Sandbox) -> list[ProgramResult]:
    """Verdicts on programs and the tests that each is to pass, two at a time."""
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        return list(pool.map(lambda one: judge(one[0], one[1], sandbox, problem.limits), programs))


@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda problem: problem.id)
def test_right_programs_are_correct_and_wrong_ones_fail_where_they_are_wrong(
    problem: Problem, sandbox: Sandbox
) -> None:
    expected = {f"right: {name}": ("correct", len(problem.tests), "") for name in problem.right}
    for name, wrong in problem.wrong.items():
        default = (
            "time limit" if wrong.status == "timeout" else "wrong output" if problem.call is None else "wrong value"
        )
        expected[f"wrong: {name}"] = (wrong.status, wrong.at - 1, wrong.detail or default)
    texts = [*problem.right.values(), *(wrong.text for wrong in problem.wrong.values())]
    verdicts = judged([(text, problem.cases()) for text in texts], problem, sandbox)
    unexpected = {
        name: (found.summary, found)
        for (name, (status, passed, detail)), found in zip(expected.items(), verdicts, strict=True)
        if (found.status, found.passed) != (status, passed) or detail not in found.detail
    }
    assert not unexpected


ONE_TEST = [(problem, wrong) for problem in PROBLEMS for wrong in problem.wrong.values() if wrong.only]


@pytest.mark.parametrize("kind", ["stdin", "functional"])
def test_without_the_one_test_that_tells_them_apart_wrong_programs_would_pass(kind: str, sandbox: Sandbox) -> None:
    some = [(problem, wrong) for problem, wrong in ONE_TEST if (problem.call is None) == (kind == "stdin")][::2]
    assert len(some) >= 10
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        verdicts = pool.map(
            lambda one: judge(one[1].text, one[0].cases(without=one[1].at), sandbox, one[0].limits), some
        )
        left = [
            (one[0].id, found.summary) for one, found in zip(some, verdicts, strict=True) if found.status != "correct"
        ]
    assert not left


def test_the_set_is_large_and_has_both_kinds() -> None:
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


WAYS = [
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
"""Of reading, writing and putting a program together, as patterns that one of the right programs has at least."""


def test_right_programs_read_write_and_are_made_in_many_ways() -> None:
    programs = [program for problem in PROBLEMS for program in problem.right.values()]
    assert [way for way in WAYS if not any(re.search(way, program) for program in programs)] == []


def test_a_program_in_an_answer_is_found_whole() -> None:
    for problem in PROBLEMS:
        for program in (*problem.right.values(), *(wrong.text for wrong in problem.wrong.values())):
            answer = (
                f"First the idea:\n\n```\nread, solve, print\n```\n\nThen:\n\n```python{program}```\n\nThat is all."
            )
            assert (extract_program(answer, problem.call) or "").strip() == program.strip()


def test_rows_in_livecodebenchs_form_hold_the_same_tests(tmp_path: Path) -> None:
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


def test_the_wanted_outputs_are_those_of_plain_search() -> None:
    checked = Counter[str]()
    for problem in PROBLEMS:
        for given, wanted in problem.tests:
            if problem.id not in SEARCH or len(given) > 6000:
                continue
            if problem.call is None:
                found = SEARCH[problem.id](given)
                same = found is None or str(found).split() == wanted.split()
            else:
                found = SEARCH[problem.id](*map(json.loads, given.split("\n")))
                same = found is None or found == json.loads(wanted)
            assert same, (problem.id, given, wanted, found)
            checked[problem.id] += found is not None
    assert set(SEARCH) == set(checked)
    assert min(checked.values()) >= 3


def _numbers(given: str) -> list[int]:
    return [int(word) for word in given.split()]


def _brackets(given: str) -> str:
    def verdict(s: str) -> str:
        depths = [0, *itertools.accumulate(1 if c == "(" else -1 for c in s)]
        return "Yes" if min(depths) == 0 == depths[-1] else "No"

    return "\n".join(map(verdict, given.split()[1:]))


def _records(given: str) -> int:
    a = _numbers(given)[1:]
    return sum(all(x < y for x in a[:i]) for i, y in enumerate(a))


def _mean(given: str) -> int:
    n, *a = _numbers(given)
    mean = Fraction(sum(a), n)
    return next(m for m in range(math.floor(mean), math.floor(mean) + 2) if -1 <= 2 * (mean - m) < 1)


def _chain(given: str) -> int:
    n, *heads = _numbers(given)
    longest = 0
    for person in range(1, n + 1):
        length = 1
        while person != 1:
            person, length = heads[person - 2], length + 1
        longest = max(longest, length)
    return longest


def _islands(given: str) -> int:
    rows = given.split()[2:]
    name = {(i, j): (i, j) for i, row in enumerate(rows) for j, c in enumerate(row) if c == "#"}
    for _ in range(len(name)):
        for i, j in name:
            sides = [(i, j), (i + 1, j), (i - 1, j), (i, j + 1), (i, j - 1)]
            name[i, j] = min(name[side] for side in sides if side in name)
    return len(set(name.values()))


def _trip(given: str) -> int:
    n, _, *flat = _numbers(given)
    roads = [(flat[i], flat[i + 1], flat[i + 2]) for i in range(0, len(flat), 3)]
    costs = [] if n > 1 else [0]
    for length in range(n):
        for way in itertools.permutations(range(2, n), max(0, length - 1)):
            total: float = 0
            for u, v in itertools.pairwise((1, *way, n)):
                total += min((w for a, b, w in roads if {a, b} == {u, v}), default=math.inf)
            costs.append(int(total) if total < math.inf else -1)
    return min((cost for cost in costs if cost >= 0), default=-1)


def _stones(given: str) -> int | None:
    n = int(given)
    return sum(range(n + 1)) if n < 10**6 else None


def _change(given: str) -> int | None:
    _, x, *kinds = _numbers(given)
    if x > 20:
        return None
    ways = itertools.product(*(range(x // kind + 1) for kind in kinds))
    return min((sum(way) for way in ways if sum(map(math.prod, zip(way, kinds, strict=True))) == x), default=-1)


def _pairs(given: str) -> int:
    _, k, *a = _numbers(given)
    return sum(x + y == k for x, y in itertools.combinations(a, 2))


def _room(given: str) -> int:
    _, *flat = _numbers(given)
    meetings = list(zip(flat[::2], flat[1::2], strict=True))
    return max(
        len(some)
        for size in range(len(meetings) + 1)
        for some in itertools.combinations(meetings, size)
        if all(a[1] <= b[0] or b[1] <= a[0] for a, b in itertools.combinations(some, 2))
    )


def _medians(given: str) -> str:
    a = _numbers(given)[1:]
    return " ".join(str(statistics.median_low(a[: i + 1])) for i in range(len(a)))


def _turned(given: str) -> str:
    h, w, *cells = _numbers(given)
    return " ".join(str(cells[i * w + j]) for j in range(w) for i in reversed(range(h)))


def _counting_out(given: str) -> int | None:
    n, k = _numbers(given)
    ring = list(range(1, n + 1))
    if n > 100:
        return None
    while len(ring) > 1:
        for _ in range(k - 1):
            ring.append(ring.pop(0))
        ring.pop(0)
    return ring[0]


def _rabbits(given: str) -> int | None:
    n, a, b = int(given), 0, 1
    for _ in range(min(n, 1000)):
        a, b = b, a + b
    return a % 998244353 if n <= 1000 else None


def _rucksack(given: str) -> int:
    _, most, *flat = _numbers(given)
    things = list(zip(flat[::2], flat[1::2], strict=True))
    taken = [some for size in range(len(things) + 1) for some in itertools.combinations(things, size)]
    return max(sum(v for _, v in some) for some in taken if sum(w for w, _ in some) <= most)


def _run(s: str) -> int:
    pieces = [s[i:j] for i in range(len(s)) for j in range(i + 1, len(s) + 1)]
    return max((len(piece) for piece in pieces if len(set(piece)) == 1), default=0)


def _merged(bookings: list[list[int]]) -> list[list[int]]:
    halves = sorted({at for start, end in bookings for at in range(2 * start, 2 * end + 1)})
    starts = [at // 2 for at in halves if at - 1 not in halves]
    ends = [at // 2 for at in halves if at + 1 not in halves]
    return [list(pair) for pair in zip(starts, ends, strict=True)]


def _steps(n: int) -> int:
    if n == 1:
        return 0
    return 1 + (min(_steps(n - 1), _steps(n + 1)) if n % 2 else _steps(n // 2))


def _climb(cost: list[int]) -> int:
    def below(i: int) -> int:
        return 0 if i >= len(cost) else cost[i] + min(below(i + 1), below(i + 2))

    return min(below(0), below(1))


def _pieces(s: str) -> int:
    return sum(set(s[i:j]) == set("abc") for i in range(len(s)) for j in range(i, len(s) + 1))


def _shifted(grid: list[list[int]], k: int) -> list[list[int]]:
    cells = [x for row in grid for x in row]
    for _ in range(k):
        cells.insert(0, cells.pop())
    return [[cells.pop(0) for _ in row] for row in grid]


def _most_used(words: list[str], k: int) -> list[str]:
    return sorted(sorted(set(words)), key=words.count, reverse=True)[:k]


def _meet(n: int, roads: list[list[int]], a: int, b: int) -> bool:
    reach = {a}
    for _ in range(n):
        reach |= {y for x, y in roads if x in reach} | {x for x, y in roads if y in reach}
    return b in reach


def _shortened(s: str) -> str:
    return "".join(run[0] + str(len(run)) * (len(run) > 1) for run in (m[0] for m in re.finditer(r"(.)\1*", s)))


def _profit(prices: list[int], fee: int) -> int:
    days = range(len(prices))
    return max(
        sum(prices[some[i + 1]] - prices[some[i]] - fee for i in range(0, size, 2))
        for size in range(0, len(prices) + 1, 2)
        for some in itertools.combinations(days, size)
    )


def _unfolded(s: str) -> str:
    steps = re.sub(r"(\d+)\[", r"+\1*(''", re.sub(r"([a-z]+)", r"+'\1'", s)).replace("]", ")")
    return str(eval("''" + steps))


def _ways(grid: list[list[int]]) -> int | None:
    h, w = len(grid), len(grid[0])
    if h * w > 100:
        return math.comb(h + w - 2, h - 1) % (10**9 + 7) if not any(map(any, grid)) else None
    total = 0
    for downs in itertools.combinations(range(h + w - 2), h - 1):
        cells = [(0, 0)]
        for step in range(h + w - 2):
            i, j = cells[-1]
            cells.append((i + 1, j) if step in downs else (i, j + 1))
        total += not any(grid[i][j] for i, j in cells)
    return total


def _joined(nums: list[int]) -> str:
    return str(max(int("".join(map(str, order))) for order in itertools.permutations(nums)))


def _gap(nums: list[int], k: int) -> int | None:
    return [x for x in range(1, 100) if x not in nums][k - 1] if k < 50 else None


def _order(n: int, before: list[list[int]]) -> list[int]:
    orders = (list(order) for order in itertools.permutations(range(n)))
    good = [order for order in orders if all(order.index(a) < order.index(b) for a, b in before)]
    return min(good, default=[])


def _cut(s: str, words: list[str]) -> bool:
    texts, reached = {""}, {""}
    while texts:
        texts = {text + word for text in texts for word in words if s.startswith(text + word)} - reached
        reached |= texts
    return s in reached


def _waits(temperatures: list[int]) -> list[int]:
    days = range(len(temperatures))
    return [min((j - i for j in days[i:] if temperatures[j] > temperatures[i]), default=0) for i in days]


def _beat(nums: list[int]) -> int | None:
    return next((t for t in range(1, 1000) if not any(t % x for x in nums)), None)


SEARCH: dict[str, Callable[..., Any]] = {
    "abc901_a": lambda given: sum(sorted(_numbers(given)[1:])[:-1]),
    "abc901_b": lambda given: max(sorted(given.split()[1:]), key=given.split()[1:].count),
    "9901_A": _brackets,
    "abc902_c": _records,
    "abc902_a": _mean,
    "abc903_d": _chain,
    "9902_B": _islands,
    "abc904_c": _trip,
    "abc904_a": _stones,
    "abc905_b": lambda given: " ".join(str(j) for i in range(int(given)) for j in range(1, i + 2)),
    "arc901_a": _change,
    "abc905_c": _pairs,
    "abc906_d": _room,
    "abc907_a": lambda given: sum(map(int, str(2 ** int(given)))) if int(given) < 1000 else None,
    "9905_D": _medians,
    "abc908_c": _turned,
    "abc908_e": _counting_out,
    "abc909_e": _rabbits,
    "9907_A": lambda given: " ".join(str(sum(_numbers(line))) for line in given.split("\n") if line),
    "9907_C": _rucksack,
    "9101": lambda nums, target: min(
        ([i, j] for j in range(len(nums)) for i in range(j) if nums[i] + nums[j] == target), default=[]
    ),
    "9102": _run,
    "9103": _merged,
    "9104": _steps,
    "9105": _climb,
    "9106": _pieces,
    "9107": lambda a, b: statistics.median(a + b),
    "9108": _shifted,
    "9109": _most_used,
    "9110": _meet,
    "9111": _shortened,
    "9113": _profit,
    "9114": lambda lists: [len(Counter(one)) for one in lists],
    "9115": _unfolded,
    "9117": _ways,
    "9118": _joined,
    "9119": _gap,
    "9120": _order,
    "9121": lambda amounts: float(sum(Fraction(str(amount)) for amount in amounts)),
    "9122": _cut,
    "9123": _waits,
    "9124": lambda n: math.isqrt(n),
    "9125": _beat,
}
"""How the wanted outputs come about for inputs that are small enough, written without regard to time."""
