"""The problems of a run before it starts: their number in the plan, their fields in the doctor's report."""

from pathlib import Path

import pytest

from permix_verl import UserError
from permix_verl.preflight.doctor.problems import problem_sources
from permix_verl.preflight.doctor.types import Setup
from permix_verl.preflight.memory_plan.rows import ASSUMED_ROWS, training_rows

from ...support.configs import config_of
from ...support.data_shapes import math, records, write


def rows(data: str | None = None, *overrides: str, **knobs: str) -> tuple[int, str]:
    given = {"DATA": data} if data else {}
    return training_rows(config_of("permix_grpo", *overrides, PROFILE="8xa5000", VAL_PROBLEMS="2", **given, **knobs))


def test_the_plan_counts_a_file_and_knows_published_sizes(tmp_path: Path) -> None:
    mine = write(tmp_path / "mine.jsonl", [math(number) for number in range(12)])
    dapo = write(tmp_path / "dapo.parquet", records("dapo-math-17k", 10))
    assert rows(str(mine)) == (10, f"{mine}: 12 problems, counted")
    assert rows(f"{mine},weight=2;{dapo},name=dapo,weight=0.5")[0] == 2 * 12 + 5 - 2
    assert rows() == (7471, "openai/gsm8k: 7,473 problems, published")
    assert rows("dapo-math-17k")[0] == 17915
    assert rows("SynthLabsAI/Big-Math-RL-Verified")[0] == 251120
    number, said = rows("someone/something")
    assert number == ASSUMED_ROWS - 2
    assert "its number of problems is unknown here, 7,473 are assumed (--rows)" in said


def test_the_plan_counts_the_labs_problems_and_files_of_ones_own(tmp_path: Path) -> None:
    assert rows(LAB="1") == (582, "the lab's problems")
    verl = write(tmp_path / "verl.parquet", records("dapo-math-17k", 10))
    number, said = rows(None, f"data.train_files='{verl}'")
    assert (number, said) == (20, f"20 rows counted in {verl}")
    with pytest.raises(UserError, match=r"no such file or folder: .\./nowhere\.jsonl"):
        rows("./nowhere.jsonl")


def findings(data: str, **knobs: str) -> list[tuple[str, str]]:
    setup = Setup.of_run(config_of("permix_grpo", PROFILE="8xa5000", DATA=data, **knobs))
    return [(finding.severity, f"{finding.text}; {finding.remedy}") for finding in problem_sources(setup)]


def test_the_doctor_names_a_wrong_field_before_the_launch(tmp_path: Path) -> None:
    file = write(tmp_path / "mine.jsonl", [math(number) for number in range(3)])
    ((severity, said),) = findings(str(file))
    assert severity == "ok"
    assert "final answer in the last box of 'solution'" in said
    ((severity, said),) = findings(f"{file},question-field=task")
    assert severity == "error"
    assert said.startswith(f"{file}, line 1: no field 'task'; the fields are problem, level, type, solution")
    assert findings(f"{file},gold=hash")[0][1].startswith("3 of the first 3 golds cannot be read")
    assert findings("./nowhere.jsonl")[0] == (
        "error",
        "no such file or folder: './nowhere.jsonl'; give a path, or a hub name such as openai/gsm8k",
    )
    assert [severity for severity, _ in findings(f"{file};someone/something")] == ["ok", "ok"]
    assert findings(str(write(tmp_path / "empty.jsonl", [])))[0][0] == "error"


def test_the_doctor_warns_of_golds_that_will_be_dropped(tmp_path: Path) -> None:
    file = write(tmp_path / "mine.jsonl", [math(0), math(1) | {"solution": "so"}])
    assert findings(str(file))[0][0] == "error"
    ((severity, said),) = findings(f"{file},bad-golds=drop")
    assert (severity, said.endswith("their rows are left out (bad-golds=drop)")) == ("warning", True)


def test_the_lab_generates_its_own() -> None:
    assert not list(problem_sources(Setup.of_run(config_of("permix_grpo", LAB="1"))))
    assert not list(problem_sources(Setup()))
