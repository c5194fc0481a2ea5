"""Code problems as a source: ids of their own, and what is refused."""

import json
from pathlib import Path
from typing import Any

import pytest

from permix_verl import UserError
from permix_verl.data.code_problems import CodeSource
from permix_verl.data.problem_sources import SourceRow
from permix_verl.data.row_ids import POSITION_IDS, ROW_IDS
from permix_verl.data.source_spec import parse_sources

TESTS = json.dumps({"inputs": ["1\n"], "outputs": ["2\n"], "fn_name": None})


def read(file: Path, options: str = "", row_ids: str = ROW_IDS) -> list[SourceRow]:
    (spec,) = parse_sources(f"{file}{options}")
    source = CodeSource(spec, row_ids)
    rows = list(source.rows())
    assert source.count() == len(rows)
    return rows


def ids(rows: list[SourceRow]) -> list[str]:
    return [row.problem.row_id for row in rows]


def write(file: Path, *more: dict[str, Any]) -> Path:
    rows = [{"question": f"Print N + {n}.", "ground_truth": TESTS} | extra for n, extra in enumerate(more)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def test_ids_are_the_rows_own_or_hashes(tmp_path: Path) -> None:
    file = write(tmp_path / "code.jsonl", {}, {"question_id": "abc301_a"}, {})
    one, two, three = ids(read(file))
    assert two == "code/train/abc301_a"
    assert one != three
    lines = file.read_text().splitlines(keepends=True)
    file.write_text("".join(reversed(lines)))
    assert ids(read(file)) == [three, two, one], "in any order"
    assert ids(read(file, row_ids=POSITION_IDS)) == [f"code/train/{n}" for n in range(3)]
    assert ids(read(file, ",name=mine,id-field=content"))[1].startswith("mine/train/")
    assert {row.problem.source for row in read(file)} == {"code"}
    assert all(row.problem.task == "code" and not row.fault for row in read(file))


def test_fields_of_answers_have_no_meaning_for_programs(tmp_path: Path) -> None:
    file = write(tmp_path / "code.jsonl", {})
    with pytest.raises(
        UserError, match="code problems have fixed fields; leave out question-field, answer-field, gold"
    ):
        read(file, ",gold=boxed")
    with pytest.raises(UserError, match="problem 1: no field 'nr'; the fields are question, ground_truth"):
        read(file, ",id-field=nr")
