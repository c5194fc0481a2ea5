"""Problems with programs that solve them and programs that nearly do, and the same problems as LiveCodeBench's rows.

Every program has a verdict that is known beforehand, so that a judge of programs can be judged.
"""

import base64
import datetime
import json
import pickle
import zlib
from pathlib import Path
from typing import Any

from .code_problems_form import Problem, Wrong
from .code_problems_functional import FUNCTIONAL
from .code_problems_stdin import STDIN

__all__ = ["FUNCTIONAL", "PROBLEMS", "STDIN", "Problem", "Wrong", "livecodebench_row", "write_livecodebench"]

PROBLEMS = (*STDIN, *FUNCTIONAL)
_FIRST_CONTEST = datetime.datetime(2023, 5, 7)
_LAST_CONTEST = datetime.datetime(2025, 4, 6)


def write_livecodebench(file: Path) -> None:
    """Write all problems as a ``.jsonl`` file of LiveCodeBench's form."""
    file.write_text("".join(json.dumps(livecodebench_row(number)) + "\n" for number in range(len(PROBLEMS))))


def livecodebench_row(number: int) -> dict[str, Any]:
    """A problem as LiveCodeBench publishes it; private tests are packed in every other row, as some of theirs are."""
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
