"""Rows of any data set: each preset's columns, files of any format, fields by name, and what is refused."""

import json
from pathlib import Path
from typing import Any

import pytest

from permix_verl import UserError
from permix_verl.data.gold_check import GoldCheck
from permix_verl.data.instructions import unwrap
from permix_verl.data.presets import PRESETS
from permix_verl.data.problem_sources import ProblemSource, SourceRow
from permix_verl.data.problems import Problem
from permix_verl.data.repeated_rows import UniqueRows
from permix_verl.data.row_ids import content_id
from permix_verl.data.source_spec import SourceOptions, parse_sources

from ...support.data_shapes import COUNT, DAPO_BEFORE, SHAPES, answer, dapo, math, question, records, solution, write


def read(text: str, **options: str) -> list[SourceRow]:
    (spec,) = parse_sources(text, SourceOptions(**options))
    return list(ProblemSource(spec).rows())


def test_there_is_a_shape_of_every_preset() -> None:
    assert set(SHAPES) == set(PRESETS)


@pytest.mark.parametrize("suffix", [".parquet", ".jsonl", ".json"])
@pytest.mark.parametrize("named", [True, False], ids=["by its preset", "by its columns"])
@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_a_file_with_a_presets_columns_is_read(preset: str, named: bool, suffix: str, tmp_path: Path) -> None:
    file = write(tmp_path / f"data{suffix}", records(preset))
    rows = list(UniqueRows(lambda: iter(read(f"{file},preset={preset}" if named else str(file)))))
    assert [row.problem.question for row in rows] == [question(number) for number in range(COUNT)]
    assert [row.problem.final_answer for row in rows] == [answer(number) for number in range(COUNT)]
    assert not any(row.fault for row in rows)
    name = {"gsm8k": "gsm8k", "dapo-math-17k": "math_dapo"}.get(preset, "math")
    assert {row.problem.source for row in rows} == {preset if named else name}
    if PRESETS[preset].solution:
        assert [row.problem.solution for row in rows] == [solution(number) for number in range(COUNT)]


def test_ids_come_from_the_row_where_it_has_one(tmp_path: Path) -> None:
    ids = {
        preset: read(f"{write(tmp_path / f'{preset}.jsonl', records(preset, 1))},preset={preset}")[0].problem.row_id
        for preset in ("math-500", "dapo-math-17k", "openr1-math", "deepscaler")
    }
    assert ids == {
        "math-500": "math-500/test/test/algebra/0.json",
        "dapo-math-17k": "dapo-math-17k/train/9a9b6eb4-a1cb-49d1-8c1e-62eaf2f70000",
        "openr1-math": "openr1-math/train/0f1a0000",
        "deepscaler": f"deepscaler/train/{content_id(question(0), answer(0))}",
    }
    ours = [dapo(0) | {"extra_info": {"index": 3, "row_id": "mine/train/x"}}]
    assert read(str(write(tmp_path / "ours.jsonl", ours)))[0].problem.row_id == "mine/train/x"
    asked = read(str(tmp_path / "math-500.jsonl"), id_field="content")
    assert asked[0].problem.row_id == f"math/train/{content_id(question(0), answer(0))}"


def test_a_prompt_loses_only_the_instruction_that_is_known() -> None:
    assert unwrap(dapo(3)["prompt"][0]["content"]) == question(3)
    assert unwrap(
        f"{question(1)} Let's think step by step and output the final answer within \\boxed{{}}."
    ) == question(1)
    for whole in (question(2), DAPO_BEFORE + question(2), DAPO_BEFORE, "Answer:"):
        assert unwrap(whole) == whole


def test_csv_rows_may_hold_commas_quotes_and_line_breaks(tmp_path: Path) -> None:
    file = tmp_path / "mine.csv"
    file.write_text('\ufeffnr,task,result\n1,"Add 1, 2\nand ""3""",6\n2,Add 4 and 5,9\n', encoding="utf-8")
    options = "question-field=task,answer-field=result,id-field=nr,name=mine"
    problems = [row.problem for row in read(f"{file},{options}")]
    assert [problem.row_id for problem in problems] == ["mine/train/1", "mine/train/2"]
    assert problems[0].question == 'Add 1, 2\nand "3"'
    assert [problem.final_answer for problem in problems] == ["6", "9"]


def test_dotted_fields_lists_of_messages_and_numbers(tmp_path: Path) -> None:
    chat = [{"role": "user", "content": [{"type": "text", "text": "1 + "}, {"type": "text", "text": "1 = ?"}]}]
    file = write(tmp_path / "mine.jsonl", [{"chat": chat, "meta": {"gold": {"value": 2}, "key": 5}}])
    (row,) = read(f"{file},question-field=chat,answer-field=meta.gold.value,id-field=meta.key")
    assert (row.problem.question, row.problem.final_answer, row.problem.row_id) == ("1 + 1 = ?", "2", "math/train/5")


def test_a_folder_is_read_by_split_and_config(tmp_path: Path) -> None:
    for subject, first in (("algebra", 0), ("geometry", 5)):
        (tmp_path / "hub" / subject).mkdir(parents=True)
        for split in ("train", "test"):
            shard = tmp_path / "hub" / subject / f"{split}-00000-of-00001.parquet"
            write(shard, records("math", 3, first + 50 * (split == "test")))
    found = read(f"{tmp_path / 'hub'},preset=math,split=test")
    assert [row.problem.question for row in found] == [question(n) for n in (50, 51, 52, 55, 56, 57)]
    assert len(read(f"{tmp_path / 'hub'},preset=math,config=geometry")) == 3
    with pytest.raises(UserError, match=r"has no dev.jsonl, dev.parquet or dev-\*.parquet; name the file"):
        read(f"{tmp_path / 'hub'},preset=math,split=dev")


def test_large_columns_that_are_not_needed_are_not_read(tmp_path: Path) -> None:
    file = write(tmp_path / "data.parquet", records("openr1-math", 2))
    (spec,) = parse_sources(f"{file},preset=openr1-math")
    source = ProblemSource(spec)
    next(source.rows())
    assert source.layout is not None
    assert {"generations", "messages"}.isdisjoint(source.layout.columns)


def test_what_was_read_how_is_said_in_a_line(tmp_path: Path) -> None:
    file = write(tmp_path / "mine.jsonl", [math(1)])
    source = ProblemSource(parse_sources(str(file))[0])
    list(source.rows())
    assert source.describe() == (
        f"{file}: problem 'problem', final answer in the last box of 'solution', id a hash of problem and final "
        "answer, named math"
    )


def test_golds_that_cannot_be_read_are_noted_with_their_text(tmp_path: Path) -> None:
    broken = [math(0), math(1) | {"solution": "so it is 7"}, math(2) | {"solution": None}]
    rows = read(str(write(tmp_path / "mine.jsonl", broken)))
    assert [row.fault for row in rows] == [
        "",
        "no \\boxed{...} in solution 'so it is 7'",
        "empty field 'solution'",
    ]
    openr1 = [row | {"answer": gold} for row, gold in zip(records("openr1-math", 3), ("", "proof", "4"), strict=True)]
    found = read(str(write(tmp_path / "openr1.jsonl", openr1)))
    assert [row.fault for row in found] == [
        "empty field 'answer'",
        "'proof' stands for no answer in answer 'proof'",
        "",
    ]


def test_the_number_of_problems_is_known_before_they_are_read(tmp_path: Path) -> None:
    counts = {}
    for preset, suffix in (
        ("dapo-math-17k", "parquet"),
        ("math", "jsonl"),
        ("openr1-math", "parquet"),
        ("math", "json"),
    ):
        file = write(tmp_path / f"{preset}.{suffix}", records(preset))
        counts[file.name] = ProblemSource(parse_sources(str(file))[0]).count()
    assert set(counts.values()) == {COUNT}, "DAPO's rows are there twice"
    assert ProblemSource(parse_sources("deepscaler")[0]).count() == 40315
    assert ProblemSource(parse_sources("someone/something")[0]).count() is None


def _row(**fields: Any) -> str:
    return json.dumps({"problem": "q", "answer": "1", **fields}) + "\n"


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        (_row(), {"question_field": "task"}, r"line 1: no field 'task'; the fields are problem, answer"),
        (_row(), {"answer_field": "gold"}, r"line 1: no field 'gold'; the fields are problem, answer"),
        (_row(), {"id_field": "nr"}, r"line 1: no field 'nr'; the fields are problem, answer"),
        (_row(nr=1) + _row(), {"id_field": "nr"}, r"line 2: no id in field 'nr'; the fields are problem, answer"),
        ('{"text": "q", "label": 1}', {}, r"no fields question and answer, .* but text, label; name them with"),
        ("[1, 2]", {}, r"line 1: expected an object, got list"),
        (_row(problem=""), {}, r"line 1: field 'problem' is ''; it must be a non-empty string"),
        (_row() + _row(problem=7), {}, r"line 2: field 'problem' is 7"),
        (
            json.dumps(dapo(0) | {"prompt": [{"role": "system", "content": "x"}, {"role": "user", "content": "y"}]}),
            {},
            r"holds the messages \['system', 'user'\], not one of the user's; add personas .* permix mix",
        ),
    ],
)
def test_bad_rows_are_one_clear_error(text: str, options: dict[str, str], message: str, tmp_path: Path) -> None:
    file = tmp_path / "bad.jsonl"
    file.write_text(text)
    with pytest.raises(UserError, match=message):
        read(str(file), **options)


def test_bad_files_are_one_clear_error(tmp_path: Path) -> None:
    for name, content, message in (
        ("a.txt", "x", "unknown suffix '.txt'; give one of .jsonl, .json, .parquet, .csv"),
        ("a.csv", "problem,answer\nq\n", "row 1 has more or fewer fields than the first line names"),
        ("a.json", "[1,", "is not JSON"),
        ("a.parquet", "x", "is not a parquet file"),
    ):
        (tmp_path / name).write_text(content)
        with pytest.raises(UserError, match=message):
            read(str(tmp_path / name))
    assert read(str(write(tmp_path / "empty.jsonl", []))) == []


def rows_of(*answers: str, row_id: str = "a/train/1", duplicates: str | None = None) -> UniqueRows:
    options = SourceOptions(duplicates=duplicates)
    problems = [Problem(row_id, "How many?", "", gold) for gold in answers]
    found = [SourceRow(f"f, row {n}", problem, options=options) for n, problem in enumerate(problems, start=1)]
    return UniqueRows(lambda: iter(found))


def test_a_repeated_row_is_kept_once_or_numbered_and_counted() -> None:
    once, number = rows_of("1", "1", "1"), rows_of("1", "1", "1", duplicates="number")
    assert [row.problem.row_id for row in once] == ["a/train/1"]
    assert [row.problem.row_id for row in number] == ["a/train/1", "a/train/1#2", "a/train/1#3"]
    assert (once.repeats.count, number.repeats.count) == (2, 2)
    assert once.repeats.sentence().endswith("(such as a/train/1): 2 left out, so that each problem is there once")
    assert number.repeats.sentence().endswith("2 kept, with numbers behind their ids")
    assert [row.problem.row_id for row in once] == ["a/train/1"], "each pass counts anew"


def test_one_id_for_two_problems_is_an_error_with_both_rows() -> None:
    with pytest.raises(
        UserError, match=r"one id, a/train/1, for two .*'How many\?', '1'\), and .* '2'\); name another"
    ):
        list(rows_of("1", "1", "2"))


def test_the_published_files_are_read_by_their_presets(shared_data: Path) -> None:
    for text, size in (
        (f"{shared_data / 'gsm8k'},preset=gsm8k", 7473),
        (f"{shared_data / 'math500'},preset=math-500", 500),
    ):
        rows = list(UniqueRows(lambda: iter(read(text))))  # noqa: B023
        assert len(rows) == size
        golds = GoldCheck()
        assert len(golds.usable(rows)) == size
        assert not golds.bad
