"""Rows in LiveCodeBench's format."""

import base64
import json
import pickle
import zlib
from pathlib import Path
from typing import Any


def packed(tests: list[dict[str, str]]) -> str:
    """Pack private tests as the hub's files do."""
    return base64.b64encode(zlib.compress(pickle.dumps(json.dumps(tests)))).decode()


def row(
    name: str,
    pairs: list[tuple[str, str]],
    difficulty: str = "easy",
    day: str = "2023-06-01",
    call: str | None = None,
    **other: Any,
) -> dict[str, Any]:
    """Return a row whose first test is public."""
    kind = "functional" if call else "stdin"
    tests = [{"input": given, "output": wanted, "testtype": kind} for given, wanted in pairs]
    return {
        "question_title": name,
        "question_content": f"Problem {name}.",
        "platform": "leetcode" if call else "atcoder",
        "question_id": name,
        "contest_id": "c",
        "contest_date": f"{day}T00:00:00",
        "starter_code": f"class Solution:\n    def {call}(self, a: int) -> int:\n" if call else "",
        "difficulty": difficulty,
        "public_test_cases": json.dumps(tests[:1]),
        "private_test_cases": packed(tests[1:]),
        "metadata": json.dumps({"func_name": call} if call else {}),
        **other,
    }


def write(file: Path, *rows: dict[str, Any]) -> Path:
    file.write_text("".join(json.dumps(one) + "\n" for one in rows))
    return file


PLUS_ONE = row("plus_one", [("1\n", "2\n"), ("41\n", "42\n")])
DOUBLE = row("double", [("1\n", "2\n"), ("4\n", "8\n")], "medium", "2024-01-15")
CUBE = row("cube", [("1", "1"), ("3", "27")], "hard", "2024-09-01", "cube")
SQUARE = row("square", [("3", "9"), ("-2", "4")], "hard", "2024-09-01", "square")


def releases(folder: Path) -> Path:
    """Write a folder in the hub's layout, with two releases."""
    folder.mkdir(parents=True, exist_ok=True)
    write(folder / "test.jsonl", PLUS_ONE, DOUBLE)  # too few per difficulty to be reported separately
    write(folder / "test2.jsonl", SQUARE, CUBE)
    return folder
