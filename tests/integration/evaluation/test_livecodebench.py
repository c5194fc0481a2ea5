"""LiveCodeBench from its files to the report, the model being a server whose programs are known."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from permix_verl import UserError
from permix_verl.cli import eval as run
from permix_verl.cli import report as report_command
from permix_verl.cli import rescore as rescore_command
from permix_verl.code import livecodebench as files
from permix_verl.code.livecodebench import RELEASES, Selection, find_cases
from permix_verl.evaluation.results import load_results
from permix_verl.evaluation.tasks import EvalProblem, find_task, livecodebench, load_problems

from ...support.code_rows import DOUBLE, PLUS_ONE, SQUARE, releases, row, write
from ...support.endpoint import Reply, Server, chat

RIGHT = {
    "plus_one": "print(int(input()) + 1)",
    "double": "import sys\nprint(2 * int(sys.stdin.buffer.readline()))",
    "square": "class Solution:\n    def square(self, a):\n        return a * a",
    "cube": "def cube(a):\n    return a * a * a",
}


def programs(body: dict[str, Any], attempt: int) -> Reply:
    """All right without a persona; a teacher gets the hard one wrong, a lawyer talks."""
    system = "".join(message["content"] for message in body["messages"] if message["role"] == "system")
    asked = re.search(r"Problem (\w+)\.", body["messages"][-1]["content"])
    if asked is None:
        return chat(prompt_tokens=None)
    program = RIGHT[asked[1]]
    if "lawyer" in system.lower():
        return chat("I object.", prompt_tokens=None)
    if "teacher" in system.lower():
        program = program.replace("a * a", "2 * a + 3")
    return chat(f"Here:\n```python\n{program}\n```\nOutput:\n```\n42\n```", prompt_tokens=None)


def evaluate(server: Server, folder: Path, *more: str) -> int:
    source = releases(folder / "lcb")
    command = ["--base-url", server.url, "--model", "served-a", "--tasks", f"livecodebench={source}", "--runs", "2"]
    personas = ["--personas", "eval:teacher,lawyer,kindergarten"]
    return run.main([*command, *personas, "--out", str(folder / "results"), "-T", "release=v2", *more])


def test_from_its_files_to_the_report(server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    server.answer = programs
    assert evaluate(server, tmp_path) == 0
    results = {result.task: result for result in load_results(tmp_path / "results")}
    assert list(results) == [
        "livecodebench_v1",
        "livecodebench_v2_hard",
        "livecodebench_v2",
    ]
    assert "livecodebench_v2_easy has 1 problem, too few" in capsys.readouterr().err
    assert results["livecodebench_v2"].problems == (
        "livecodebench/v1/easy/plus_one",
        "livecodebench/v1/medium/double",
        "livecodebench/v2/hard/cube",
        "livecodebench/v2/hard/square",
    )
    hard = results["livecodebench_v2_hard"]
    assert hard.correct_PRN.tolist() == [[[0, 0]] * 2, [[0, 0]] * 2, [[1, 1]] * 2]
    assert hard.control_RN is not None
    assert hard.control_RN.tolist() == [[1, 1], [1, 1]]
    assert hard.status_counts["lawyer"].no_answer == 4
    assert hard.status_counts["teacher"].wrong == 4
    samples = (tmp_path / "results" / "samples" / "livecodebench.jsonl").read_text().splitlines()
    assert len(samples) == 4 * 4 * 2
    assert {len(json.loads(line)["gold"]) for line in samples} == {39}, "a hash, not the tests"
    report_command.main([str(tmp_path / "results"), "--out", str(tmp_path / "report"), "--draws", "20"])
    found = json.loads((tmp_path / "report" / "report.json").read_text())["tasks"]
    assert set(found) == set(results)
    measured = found["livecodebench_v2"]["models"]["results"]
    assert measured["problems"] == 4
    assert measured["pss_ratio_of_means"] == 0
    text = (tmp_path / "report" / "report.md").read_text().replace("\\_", "_")
    assert "livecodebench_v2_hard" in text
    assert {json.loads(line)["mark"] for line in samples} == {""}
    assert measured["strict"] is None, "a program has no marks, and no strict reading"
    assert "strict mean" not in text


def test_stored_answers_are_scored_again_from_their_source(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    server.answer = programs
    evaluate(server, tmp_path)
    source = tmp_path / "lcb"
    arguments = [str(tmp_path / "results"), "-T", "release=v2", "--tasks"]
    rescore_command.main([*arguments, f"livecodebench={source}"])
    assert "32 samples, 0 results changed" in capsys.readouterr().out
    monkeypatch.setattr(files, "_row_locations", {})
    with pytest.raises(UserError, match="livecodebench=FOLDER"):
        rescore_command.main([str(tmp_path / "results")])


def test_a_file_that_changes_while_it_is_used_is_seen(tmp_path: Path) -> None:
    file = write(tmp_path / "a.jsonl", row("shifty", [("7\n", "8\n")]))
    task = find_task("livecodebench")
    (problem,) = load_problems(task, str(file))
    write(file, row("shifty", [("7\n", "9\n")]))
    with pytest.raises(UserError, match="has changed"):
        find_cases(problem.gold, problem.id)


def test_another_release_difficulty_or_window_is_another_evaluation(server: Server, tmp_path: Path) -> None:
    server.answer = programs
    evaluate(server, tmp_path)
    for other in (["-T", "release=v1"], ["-T", "difficulty=easy"], ["-T", "end_date=2024-02-01"]):
        with pytest.raises(UserError, match="give another --out"):
            evaluate(server, tmp_path, *other)


@pytest.mark.parametrize(
    ("args", "names"),
    [
        ({}, ["plus_one", "double", "square", "cube"]),
        ({"release": "release_v1"}, ["plus_one", "double"]),
        ({"difficulty": "hard,easy"}, ["plus_one", "square", "cube"]),
        ({"start_date": "2024-01-15"}, ["double", "square", "cube"]),
        ({"start_date": "2023-07-01", "end_date": "2024-01-15"}, ["double"]),
    ],
)
def test_problems_are_chosen_by_release_difficulty_and_date(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, args: dict[str, str], names: list[str]
) -> None:
    monkeypatch.setattr(files, "RELEASES", dict(list(RELEASES.items())[:2]))
    selection = Selection.from_args({"release": "v2"} | args)
    found = livecodebench.load_problems(str(releases(tmp_path)), selection)
    assert [problem.id.split("/")[-1] for problem in found] == names
    assert all(name.endswith(selection.window()) for name in livecodebench.groups(found, selection))


def test_a_single_file_is_of_no_release(tmp_path: Path) -> None:
    file = write(tmp_path / "mine.jsonl", PLUS_ONE, SQUARE)
    problems = load_problems(find_task("livecodebench"), str(file))
    assert [problem.id for problem in problems] == ["livecodebench/easy/plus_one", "livecodebench/hard/square"]
    parts = livecodebench.groups(problems, Selection())
    assert list(parts) == ["livecodebench_easy", "livecodebench_hard", "livecodebench"]
    assert "reads from standard input" in problems[0].question
    assert "def square(self, a: int) -> int:" in problems[1].question


def test_release_v6_reports_the_papers_denominators_too() -> None:
    """142 easy, 168 medium and 90 hard problems are release v1's; v6 is named in the paper."""
    counts = {"easy": 142, "medium": 168, "hard": 90}
    problems = [
        EvalProblem(f"livecodebench/v1/{difficulty}/p{number}", "q", "g")
        for difficulty, count in counts.items()
        for number in range(count)
    ]
    problems += [EvalProblem(f"livecodebench/v{number}/hard/q", "q", "g") for number in range(2, 7)]
    parts = {name: len(ids) for name, ids in livecodebench.groups(problems, Selection()).items()}
    assert parts["livecodebench_v1"] == RELEASES["v1"][1] == 400
    assert {name: parts[f"livecodebench_v1_{name}"] for name in counts} == counts
    assert parts["livecodebench_v6_hard"] == 95
    assert parts["livecodebench_v6"] == 405


@pytest.mark.parametrize(
    ("args", "told"),
    [
        ({"relase": "v1"}, "known: release"),
        ({"release": "v7"}, "known: v1"),
        ({"difficulty": "harder"}, "known: easy"),
        ({"start_date": "May"}, "YYYY-MM-DD"),
        ({"sandbox": "off"}, "neither 'on'"),
    ],
)
def test_settings_that_are_not_known_are_refused(tmp_path: Path, args: dict[str, str], told: str) -> None:
    with pytest.raises(UserError, match=told):
        livecodebench.livecodebench(args).load(str(write(tmp_path / "a.jsonl", PLUS_ONE)))


def test_settings_of_tasks_that_have_none_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="leave it out"):
        run.main(["--model", "x", "--tasks", "gsm8k", "-T", "release=v1", "--out", str(tmp_path / "out")])
    with pytest.raises(SystemExit):
        run.main(["--model", "x", "-T", "release", "--out", str(tmp_path / "out")])


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"difficulty": "harder"}, "not one of easy"),
        ({"question_content": ""}, "no question_content"),
        ({"contest_date": "soon"}, "is not a date"),
        ({"private_test_cases": "??"}, "cannot be unpacked"),
    ],
)
def test_rows_that_do_not_read_are_named(tmp_path: Path, changes: dict[str, str], told: str) -> None:
    file = write(tmp_path / "a.jsonl", PLUS_ONE, DOUBLE | changes)
    with pytest.raises(UserError, match=told) as raised:
        find_task("livecodebench").load(str(file))
    assert str(file) in str(raised.value)


def test_sources_that_are_not_there_are_named(tmp_path: Path) -> None:
    task = livecodebench.livecodebench({"release": "v2"})
    for source, told in ((tmp_path / "none", "no such file"), (tmp_path, "has no test.jsonl")):
        with pytest.raises(UserError, match=told):
            task.load(str(source))
    (tmp_path / "broken.jsonl").write_text("{\n")
    with pytest.raises(UserError, match="line 1: not JSON"):
        task.load(str(tmp_path / "broken.jsonl"))
