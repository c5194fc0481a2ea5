"""Problems with programs that solve them and programs that nearly do, and the same problems as LiveCodeBench rows.

The status of every program is known beforehand, which puts a judge of programs to the test. A problem is a line of
``tests/data/code_problems/{stdin,functional}.jsonl``: stdin in the manner of AtCoder and Codeforces (a program reads
standard input and prints), functional in the manner of LeetCode (a method of ``Solution`` is called and returns).
"""

import base64
import datetime
import json
import pickle
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from permix_verl.code import Cases, ProgramCase
from permix_verl.sandbox import Limits

__all__ = ["FUNCTIONAL", "PROBLEMS", "STDIN", "Problem", "Wrong", "livecodebench_row", "write_livecodebench"]

_DATA = Path(__file__).resolve().parents[1] / "data" / "code_problems"
_FIRST_CONTEST = datetime.datetime(2023, 5, 7)
_LAST_CONTEST = datetime.datetime(2025, 4, 6)

Difficulty = Literal["easy", "medium", "hard"]


@dataclass(frozen=True, slots=True)
class Wrong:
    """A program that does not solve its problem.

    Attributes:
        text: source of the program.
        at: number, from 1, of the first test that fails.
        status: expected status.
        detail: expected part of the result's detail: the name of an exception if the program ends with one.
        only: no other test fails.
    """

    text: str
    at: int
    status: Literal["wrong", "timeout"] = "wrong"
    detail: str = ""
    only: bool = False


@dataclass(frozen=True, slots=True)
class Problem:
    """A problem with its tests and programs.

    Attributes:
        tests: inputs and outputs as text; the first ``public`` tests are public.
        right, wrong: programs, keyed by what is special about each.
        call: method to call; ``None`` for a program that reads standard input.
        cpu_s: CPU time limit of each test, in seconds.
    """

    id: str
    title: str
    difficulty: Difficulty
    statement: str
    tests: tuple[tuple[str, str], ...]
    right: Mapping[str, str]
    wrong: Mapping[str, Wrong]
    call: str | None = None
    starter: str = ""
    cpu_s: int = 6
    public: int = 2

    def cases(self, *, without: int | None = None) -> Cases:
        """Return the tests, except number ``without`` (from 1)."""
        kept = [test for number, test in enumerate(self.tests, start=1) if number != without]
        return Cases(tuple(ProgramCase(*test) for test in kept), self.call)

    @property
    def limits(self) -> Limits:
        """Limits with ample wall time, which a busy machine stretches."""
        return Limits(cpu_s=self.cpu_s, wall_s=60)


def _read_problems(file: Path) -> tuple[Problem, ...]:
    with file.open(encoding="utf-8") as lines:
        return tuple(_problem_from_row(json.loads(line)) for line in lines)


def _problem_from_row(row: dict[str, Any]) -> Problem:
    tests = tuple((_join_pieces(given), _join_pieces(expected)) for given, expected in row.pop("tests"))
    wrong = {name: Wrong(**fields) for name, fields in row.pop("wrong").items()}
    return Problem(**row, tests=tests, wrong=wrong)


def _join_pieces(text: str | list[str | dict[str, Any]]) -> str:
    """Return the text of a long input, which is stored as pieces: strings, repeated strings and ranges of numbers."""
    if isinstance(text, str):
        return text
    return "".join(piece if isinstance(piece, str) else _generate_piece(**piece) for piece in text)


def _generate_piece(separator: str, repeat: str = "", times: int = 0, numbers: tuple[int, int, int] = (0, 0, 1)) -> str:
    return separator.join([repeat] * times or map(str, range(*numbers)))


STDIN = _read_problems(_DATA / "stdin.jsonl")
FUNCTIONAL = _read_problems(_DATA / "functional.jsonl")
PROBLEMS = (*STDIN, *FUNCTIONAL)


def write_livecodebench(file: Path) -> None:
    """Write all problems to a JSONL file in LiveCodeBench's format."""
    file.write_text("".join(json.dumps(livecodebench_row(number)) + "\n" for number in range(len(PROBLEMS))))


def livecodebench_row(number: int) -> dict[str, Any]:
    """Return a problem in LiveCodeBench's format, with packed private tests in every other row."""
    problem = PROBLEMS[number]
    kind = "stdin" if problem.call is None else "functional"
    tests = [{"input": given, "output": wanted, "testtype": kind} for given, wanted in problem.tests]
    private = json.dumps(tests[problem.public :])
    if number % 2:
        private = base64.b64encode(zlib.compress(pickle.dumps(private))).decode()
    day = _FIRST_CONTEST + (_LAST_CONTEST - _FIRST_CONTEST) * number // (len(PROBLEMS) - 1)
    return {
        "question_title": problem.title,
        "question_content": problem.statement,
        "platform": _platform(problem),
        "question_id": problem.id,
        "contest_id": f"weekly-contest-{problem.id}" if problem.call else problem.id.partition("_")[0],
        "contest_date": day.replace(hour=0, minute=0, second=0, microsecond=0).isoformat(),
        "starter_code": problem.starter,
        "difficulty": problem.difficulty,
        "public_test_cases": json.dumps(tests[: problem.public]),
        "private_test_cases": private,
        "metadata": json.dumps({"func_name": problem.call} if problem.call else {}),
    }


def _platform(problem: Problem) -> str:
    if problem.call:
        return "leetcode"
    return "atcoder" if problem.id.startswith(("abc", "arc")) else "codeforces"
