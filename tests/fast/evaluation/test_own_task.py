"""The task of one's own problems: any fields and form of golds, with ids that do not hang on the file's order."""

from pathlib import Path
from typing import Any

import pytest

from permix_verl import UserError
from permix_verl.cli import rescore
from permix_verl.cli.eval import main as evaluate
from permix_verl.cli.eval import parse_args
from permix_verl.evaluation.sample_store import SampleStore
from permix_verl.evaluation.tasks import find_task, load_problems
from permix_verl.evaluation.tasks.own import own_task

from ...support.data_shapes import SHAPES, answer, math, question, records, write
from ...support.endpoint import Server, chat


@pytest.mark.parametrize("preset", sorted(SHAPES))
def test_a_file_of_each_presets_columns_is_a_task(
    preset: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write(tmp_path / "data.parquet", records(preset))
    problems = load_problems(find_task("own"), f"{file},preset={preset}")
    assert [(problem.question, problem.gold) for problem in problems] == [(question(n), answer(n)) for n in range(12)]
    assert all(problem.id.startswith(f"{preset}/") for problem in problems)
    said = capsys.readouterr().out
    assert ("12 rows repeat" in said) == (preset == "dapo-math-17k")


def test_several_files_are_tasks_with_names_and_options_of_their_own(tmp_path: Path) -> None:
    argv = ["--model", "m", "--out", str(tmp_path), "--tasks"]
    options = parse_args([*argv, "gsm8k,own-a=a.csv,question-field=q, answer-field=r,own=b.jsonl,name=b,math500"])
    assert options.tasks == ["gsm8k", "own-a=a.csv,question-field=q,answer-field=r", "own=b.jsonl,name=b", "math500"]
    assert find_task("own-a").name == "own-a"
    file = write(tmp_path / "mine.jsonl", [math(number) for number in range(3)])
    assert len(load_problems(own_task("mine", str(file)))) == 3


def test_bad_golds_are_refused_or_dropped_and_a_source_is_needed(tmp_path: Path) -> None:
    file = write(
        tmp_path / "mine.jsonl", [math(0), math(1) | {"solution": "so"}, math(2) | {"solution": "\\boxed{\\frac1}"}]
    )
    with pytest.raises(UserError, match=r"1 of 3 golds cannot be used.*line 2: no \\boxed"):
        load_problems(find_task("own"), str(file))
    assert len(load_problems(find_task("own"), f"{file},bad-golds=drop")) == 2
    with pytest.raises(UserError, match="names no problems; give them behind it: own=FILE_OR_NAME"):
        load_problems(find_task("own"))
    with pytest.raises(UserError, match="unknown task 'own_a'"):
        find_task("own_a")


def test_ids_and_prompts_do_not_hang_on_the_order(tmp_path: Path) -> None:
    rows = [math(number) for number in range(6)]
    one = load_problems(find_task("own"), str(write(tmp_path / "one.jsonl", rows)))
    two = load_problems(find_task("own"), str(write(tmp_path / "two.jsonl", rows[::-1])))
    assert one == two[::-1]


def test_an_evaluation_of_ones_own_file_is_stored_continued_and_rescored(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    golds = {question(number): answer(number) for number in range(12)}

    def reply(body: dict[str, Any], attempt: int) -> Any:
        asked = body["messages"][-1]["content"].split("\n")[0]
        return chat(f"\\boxed{{{golds.get(asked, 'x')}}}", prompt_tokens=None)

    server.answer = reply
    file = write(tmp_path / "dapo.parquet", records("dapo-math-17k", 3))
    given = ["--base-url", server.url, "--model", "served-a", "--runs", "1", "--personas", "eval:teacher"]
    command = [*given, "--tasks", f"own-dapo={file},preset=dapo-math-17k", "--out", str(tmp_path / "results")]
    assert evaluate(command) == 0
    store = SampleStore(tmp_path / "results")
    samples = list(store.samples("own-dapo"))
    assert {sample.status for sample in samples} == {"correct"}
    assert len(samples) == 3 * 2
    asked = len(server.bodies)
    assert evaluate(command) == 0
    assert len(server.bodies) == asked
    rescore.main([str(tmp_path / "results")])
    assert {sample.status for sample in store.samples("own-dapo")} == {"correct"}
