"""Targets out of the solutions of any data set: rationale and box, a box that is there, or the final answer alone."""

from pathlib import Path

import pytest

from permix_verl import UserError
from permix_verl.cli import prep_sft
from permix_verl.data.problems import Problem
from permix_verl.sft_targets.ground_truth import boxed_solution, original_solution

from ...support.data_shapes import answer, math, question, records, write
from ...support.sft_data import rows


def test_a_solution_that_ends_in_a_box_stays_as_it_is() -> None:
    boxed = Problem("r", "q", "So $x = \\boxed{2}$.", "2")
    assert boxed_solution(boxed) == original_solution(boxed) == "So $x = \\boxed{2}$."
    plain = Problem("r", "q", "We add.\nIt is two.", "2")
    assert boxed_solution(plain) == "We add.\nIt is two.\nThe answer is \\boxed{2}."
    alone = Problem("r", "q", "", "2")
    assert boxed_solution(alone) == original_solution(alone) == "The answer is \\boxed{2}."


@pytest.mark.parametrize(
    ("preset", "target"),
    [("openr1-math", "We add ${0} + {1} = \\boxed{{{2}}}$."), ("big-math", "The answer is \\boxed{{{2}}}.")],
)
def test_a_presets_rows_become_targets(preset: str, target: str, tokenizer_folder: Path, tmp_path: Path) -> None:
    file = write(tmp_path / "data.parquet", records(preset))
    held_out = write(tmp_path / "val.jsonl", [math(number) for number in range(50, 53)])
    given = ["--tokenizer", str(tokenizer_folder), "--out", str(tmp_path / "out"), "--val-problems", "2"]
    prep_sft.main([*given, "--data", f"{file},preset={preset}", "--val-data", str(held_out)])
    train = rows(tmp_path / "out")
    assert {row["data_source"] for row in train} == {preset}
    said = {row["extra_info"]["question"]: row["messages"][-1]["content"] for row in train}
    expected = {question(n): target.format(n, n % 7 + 2, answer(n)) for n in range(12)}
    assert said.items() <= expected.items()
    assert len(said) == 10
    val = rows(tmp_path / "out", "val")
    assert [row["extra_info"]["question"] for row in val] == [question(n) for n in range(50, 53)]
    assert {row["data_source"] for row in val} == {"math"}


def test_bad_golds_of_either_source_are_refused(tokenizer_folder: Path, tmp_path: Path) -> None:
    good = write(tmp_path / "good.jsonl", [math(number) for number in range(8)])
    bad = write(tmp_path / "bad.jsonl", [math(number) | {"solution": "so"} for number in range(50, 52)])
    given = ["--tokenizer", str(tokenizer_folder), "--out", str(tmp_path / "out"), "--val-problems", "2"]
    with pytest.raises(UserError, match="2 of 2 golds cannot be used"):
        prep_sft.main([*given, "--data", str(good), "--val-data", str(bad)])
    with pytest.raises(UserError, match="2 of 10 golds cannot be used"):
        prep_sft.main([*given, "--data", f"{good};{bad}"])
