"""Rows for the audit's tests, and helpers that write and read them."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from permix_verl import UserError
from permix_verl.audit.cases import CHECKERS, AuditCase
from permix_verl.audit.rows import OutputRow, read_rows

BOXED = {"output": "9 * 2 is \\boxed{18}.", "gold": "18"}
WORDS = {"output": "The answer is 18.", "gold": "18"}
TAGGED = {"output": "<answer>18</answer> I ate $3$ of them.", "gold": "18"}
"""Row of which math-verify extracts 3, and the reward 18."""
WRONG = {"output": "So \\boxed{17}.", "gold": "18"}


def write_rows(tmp_path: Path, *rows: Mapping[str, Any] | str, name: str = "outputs.jsonl") -> Path:
    file = tmp_path / name
    file.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return file


def read_all(file: Path, **given: str) -> list[OutputRow]:
    return list(read_rows([file], given))


def refusal_of(file: Path, **given: str) -> str:
    with pytest.raises(UserError) as caught:
        read_all(file, **given)
    return str(caught.value)


def statuses_of(case: AuditCase) -> list[str]:
    return [case.results[checker].status for checker in CHECKERS]
