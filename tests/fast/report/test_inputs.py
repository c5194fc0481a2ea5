"""Tests of the report's inputs: CSV files, results folders, unsolved tasks, and refused input."""

import json
import random
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from permix_verl import UserError, report
from permix_verl.cli import report as script

from ...support.report_checks import INVARIANT, check_latex, check_page, rows, write_results

TABLE_8 = Path(__file__).resolve().parents[3] / "docs" / "paper_tables" / "table8_math500.csv"


@pytest.fixture(scope="module")
def steady(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_results(tmp_path_factory.mktemp("results") / "steady", None, seed=4)


@pytest.fixture(scope="module")
def table_8(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("table8")
    script.main([str(TABLE_8), "--out", str(out)])
    return out


def test_the_papers_table_8_as_csv(table_8: Path) -> None:
    check_page((table_8 / "report.html").read_text(encoding="utf-8"), figures=4)
    check_latex((table_8 / "table2.tex").read_text(encoding="utf-8"), columns=5)
    printed = {row["model"]: float(row["pss"]) for row in rows(TABLE_8.with_name("table8_math500_pss.csv"))}
    found = {row["model"]: row for row in rows(table_8 / "summary.csv")}
    assert len(found) == 12
    assert {row["task"] for row in found.values()} == {"table8_math500"}
    assert {model: float(row["pss_ratio_of_means"]) for model, row in found.items()} == pytest.approx(printed, abs=1e-4)
    no_answers = "no answers to single problems in a CSV"
    for row in found.values():
        assert row["pss_refused"] == row["mean_refused"] == row["cross_fitted_worst_refused"] == no_answers
        assert row["sharp_p_value"] == row["mean_standard_error"] == row["runs"] == ""
    for name in ("report.md", "report.html"):
        text = (table_8 / name).read_text(encoding="utf-8")
        assert f"refused: {no_answers}" in text
        assert f"Refused: {no_answers}" in text
        assert INVARIANT not in text


def test_numbers_do_not_depend_on_the_order_of_stored_samples(steady: Path, tmp_path: Path) -> None:
    other = shutil.copytree(steady, tmp_path / "steady")
    (file,) = (other / "samples").glob("*.jsonl")
    lines = file.read_text().splitlines(keepends=True)
    file.write_text("".join(random.Random(0).sample(lines, len(lines))))
    reports = []
    for folder, out in ((steady, tmp_path / "one"), (other, tmp_path / "two")):
        script.main([str(folder), "--out", str(out), "--draws", "50"])
        reports.append((out / "report.json").read_text())
    assert "interval" in reports[0]
    assert reports[0] == reports[1]


def test_folder_and_csv_side_by_side(steady: Path, tmp_path: Path) -> None:
    (tmp_path / "arith.csv").write_text("persona,theirs\nexpert,80\nlawyer,60\nno_persona,70\n")
    (tmp_path / "other.csv").write_text("persona,theirs\nexpert,50\nlawyer,40\n")
    inputs = [steady, tmp_path / "arith.csv", tmp_path / "other.csv"]
    script.main([*map(str, inputs), "--out", str(tmp_path / "out"), "--draws", "50"])
    found = {(row["task"], row["model"]): row for row in rows(tmp_path / "out" / "summary.csv")}
    assert set(found) == {("arith", "steady"), ("arith", "theirs"), ("other", "theirs")}
    assert float(found["arith", "theirs"]["pss_ratio_of_means"]) == pytest.approx(0.75)
    assert float(found["arith", "theirs"]["no_persona"]) == pytest.approx(0.7)
    markdown = (tmp_path / "out" / "report.md").read_text(encoding="utf-8")
    assert "Pairs with theirs are refused: no answers to single problems in a CSV." in markdown
    latex = (tmp_path / "out" / "table2.tex").read_text(encoding="utf-8")
    assert "-- & -- & -- & -- \\\\" in latex  # steady was not run on the other task
    check_latex(latex, columns=9)


def test_nothing_solved_in_one_run(tmp_path: Path) -> None:
    """Without PSS, test and spread over runs, the report states the reason and the JSON has no NaN."""
    folder = write_results(tmp_path / "hopeless", None, seed=0, runs=1, chance=0.0)
    script.main([str(folder), "--out", str(tmp_path / "out"), "--draws", "50"])
    text = (tmp_path / "out" / "report.json").read_text()
    model = json.loads(text, parse_constant=pytest.fail)["tasks"]["arith"]["models"]["hopeless"]
    assert model["pss_ratio_of_means"] is model["flip_rates"]["within"] is None
    markdown = (tmp_path / "out" / "report.md").read_text(encoding="utf-8")
    assert "**hopeless: not tested.** Refused: no answer is correct." in markdown


def test_the_terminal_shows_a_short_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "easy.csv").write_text("persona,theirs\nexpert,80\nlawyer,60\n")
    script.main([str(tmp_path / "easy.csv"), "--out", str(tmp_path / "out")])
    lines = capsys.readouterr().out.splitlines()
    shown = ["easy", "theirs", "60.0 (lawyer)", "80.0 (expert)", "70.0", "0.750 refused", "refused"]
    assert re.split("  +", lines[1]) == shown
    assert str(tmp_path / "out" / "report.html") in lines[-1]


def test_a_failure_leaves_the_old_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "report.md").write_text("old")
    (tmp_path / "easy.csv").write_text("persona,theirs\nexpert,80\nlawyer,60\n")
    analysis = report.analyse_inputs([tmp_path / "easy.csv"])

    def fail(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", fail)
    with pytest.raises(OSError, match="No space left"):
        report.write_report(analysis, tmp_path / "report")
    assert sorted(file.name for file in tmp_path.rglob("*")) == ["easy.csv", "report", "report.md"]
    assert (tmp_path / "report" / "report.md").read_text() == "old"


def refused(*arguments: object) -> str:
    with pytest.raises(UserError) as caught:
        script.main([str(argument) for argument in arguments])
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_invalid_input_is_refused_with_a_message(steady: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert "no such file or folder" in refused(tmp_path / "nothing", "--out", out)
    (tmp_path / "notes.txt").write_text("persona,a\nx,1\n")
    assert "neither a results folder nor a .csv file" in refused(tmp_path / "notes.txt", "--out", out)
    assert "is a file; give a folder" in refused(steady, "--out", tmp_path / "notes.txt")
    assert "notes.txt is a file; give a folder" in refused(TABLE_8, "--out", tmp_path / "notes.txt" / "below")
    assert "is not a results folder" in refused(tmp_path, "--out", out)
    assert "are named steady" in refused(steady, steady, "--out", out)
    assert "are named Qwen/Qwen3-0.6B" in refused(TABLE_8, TABLE_8, "--out", out)
    assert "--draws is 5" in refused(steady, "--out", out, "--draws", 5)
    assert "--seed is -1" in refused(steady, "--out", out, "--seed", -1)
    assert not out.exists()


def test_missing_samples_are_refused_or_left_out(steady: Path, tmp_path: Path) -> None:
    torn = tmp_path / "torn"
    (torn / "samples").mkdir(parents=True)
    (torn / "settings.json").write_bytes((steady / "settings.json").read_bytes())
    lines = (steady / "samples" / "arith.jsonl").read_text().splitlines(keepends=True)
    (torn / "samples" / "arith.jsonl").write_text("".join(lines[:-1]))
    assert "are missing" in refused(torn, "--out", tmp_path / "out")
    script.main([str(torn), "--out", str(tmp_path / "out"), "--draws", "50", "--allow-incomplete"])
    (row,) = rows(tmp_path / "out" / "summary.csv")
    assert (row["problems"], row["dropped_problems"]) == ("29", "1")


@pytest.mark.parametrize(("problems", "whole"), [(1, False), (2, True)])
def test_one_problem_is_refused_with_folder_and_task(steady: Path, tmp_path: Path, problems: int, whole: bool) -> None:
    few = tmp_path / "few"
    (few / "samples").mkdir(parents=True)
    lines = (steady / "samples" / "arith.jsonl").read_text().splitlines(keepends=True)
    kept = sorted({json.loads(line)["problem"] for line in lines})[:problems]
    chosen = [line for line in lines if json.loads(line)["problem"] in kept]
    (few / "samples" / "arith.jsonl").write_text("".join(chosen))
    settings = json.loads((steady / "settings.json").read_text())
    settings["tasks"]["arith"]["problems"] = problems
    (few / "settings.json").write_text(json.dumps(settings))
    given = [few, "--out", tmp_path / "out", "--draws", "50"]
    if whole:
        script.main([str(part) for part in given])
    else:
        assert "results folder few holds 1 whole problem of task arith" in refused(*given)
        assert not (tmp_path / "out").exists()


def test_missing_matplotlib_is_reported_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert "need matplotlib" in refused(tmp_path / "not even looked at", "--out", tmp_path / "out")
