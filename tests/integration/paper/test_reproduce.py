"""The command that reproduces a table: its knobs and flags, what it runs, and what it refuses. Nothing is trained."""

import os
from pathlib import Path

import pytest

from permix_verl import UserError
from permix_verl.cli import reproduce
from permix_verl.paper.tables import PAPER_MODEL, TABLES

from ...support.recorded_commands import CommandRecorder, record_commands, run_script

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(autouse=True)
def recorder(monkeypatch: pytest.MonkeyPatch) -> CommandRecorder:
    return record_commands(monkeypatch, "permix_verl.cli.reproduce")


@pytest.mark.parametrize("number", TABLES)
def test_the_plan_has_commands_tokens_hours_and_judge_calls(
    number: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert reproduce.main([number, "--dry-run", "--out", str(tmp_path), "--runs-dir", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    table = TABLES[number]
    for method in table.methods:
        assert f"  {method.label}: " in printed or not method.recipe
    assert "GPU hours" in printed
    assert ("calls of each judge, but no judge is set" in printed) == table.personagym
    assert list(tmp_path.iterdir()) == []


def test_unmeasurable_tables_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="table 10 is about PersonaGym, and no judge is set; set JUDGE"):
        reproduce.main(["10", "--rewriter", "x", "--out", str(tmp_path)])
    with pytest.raises(UserError, match="two judges are named 'j'"):
        reproduce.main(["10", "--judge", "j", "--judge", "j", "--out", str(tmp_path)])
    with pytest.raises(UserError, match="no table '7' that compares trained models; known: 2"):
        reproduce.main(["7"])


KNOBS = {
    "MODEL": "a/b-1B",
    "SEED": "4",
    "RUNS": "3",
    "LIMIT": "7",
    "TASKS": "gsm8k",
    "REWRITER": "r",
    "BASE_URL": "http://rewriter",
    "TEACHER_BASE_URL": "http://teacher",
    "JUDGE": "j@http://h/v1",
    "JUDGE_2": "k@http://h/v1",
    "QUESTIONS": "default",
    "EVAL_FLAGS": "--top-k 9",
    "PERSONAGYM_FLAGS": "--top-p 1",
    "TEACHER_QWEN": "t",
    "GPU_TFLOPS": "50",
}


def planned(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert reproduce.main([*arguments, "--dry-run"]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("by", ["environment", "arguments"])
def test_knobs_reach_the_commands(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    knobs = KNOBS | {"OUT": str(tmp_path / "o"), "RUNS_DIR": str(tmp_path / "r")}
    for name, value in knobs.items() if by == "environment" else ():
        monkeypatch.setenv(name, value)
    given = [f"{name}={value}" for name, value in knobs.items()] if by == "arguments" else []
    plan = planned(capsys, "2", *given)
    for part in (
        " eval --model a/b-1B --tasks gsm8k --runs 3 --seed 4 --top-k 9 --limit 7 ",
        f" train sft MODEL=a/b-1B SEED=4 RUN_DIR={tmp_path}/r/sft-b-1B-seed4\n",
        " TARGET=styled REWRITER=r BASE_URL=http://rewriter\n",
        " judge --model a/b-1B --questions default --seed 4 --top-p 1 --judge j@http://h/v1 --judge k@http://h/v1 "
        f"--out {tmp_path}/o/base-seed4\n",
        "  50 TFLOP/s a GPU",
    ):
        assert part in plan
    assert " PERSONA=0 TEACHER=t BASE_URL=http://teacher\n" in planned(capsys, "3", *given)


def test_flags_win_over_knobs(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in KNOBS.items():
        monkeypatch.setenv(name, value)
    plan = planned(capsys, "2", "--model", "x/y-2B", "--runs", "9", "--rewriter-url", "http://u", "--judge", "z")
    assert " --model x/y-2B --tasks gsm8k --runs 9 --seed 4 " in plan
    assert " BASE_URL=http://u\n" in plan
    assert " --judge z --out " in plan
    assert not any(text in plan for text in ("a/b-1B", "http://rewriter", "j@http"))


def test_the_papers_settings_are_the_defaults(capsys: pytest.CaptureFixture[str]) -> None:
    plan = planned(capsys, "3")
    assert f" --tasks gsm8k,math500 --runs 5 --seed 0 --adapter {ROOT}/runs/rlvr-Llama-3.1-8B-Instruct-seed0/" in plan
    assert " TEACHER=google/gemma-3-27b-it\n" in plan
    assert "cli.main judge " not in plan
    plan = planned(capsys, "2")
    assert "REWRITER=gpt-5-mini" in plan, "in a plan"
    out = ROOT / "results" / "paper" / "base-seed0"
    assert f" eval --model {PAPER_MODEL} --tasks gsm8k,math500 --runs 5 --seed 0 --out {out}\n" in plan


@pytest.mark.parametrize("by", ["environment", "flag"])
def test_the_lab_has_the_tables_shape(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    arguments = ["--lab"] if by == "flag" else []
    if by == "environment":
        monkeypatch.setenv("LAB", "1")
    lab = ROOT / "permix_verl" / "lab"
    plan = planned(capsys, "3", *arguments)
    assert (
        f" eval --model {lab}/model --tasks lab_easy,lab_hard --runs 2 --seed 0 --temperature 1 --top-p 1 --limit 200 "
        in plan
    )
    assert plan.count(f" LAB=1 TEACHER={lab}/teacher\n") == 6
    assert f"{ROOT}/results/lab-tables/rlvr-seed0" in plan
    assert " LAB=1 REWRITER=lab\n" in planned(capsys, "2", *arguments)
    monkeypatch.setenv("EVAL_FLAGS", "--top-k 5")
    assert " --temperature 1 --top-p 1 --top-k 5 --limit 10 " in planned(capsys, "2", *arguments, "--limit", "10")


@pytest.mark.parametrize(
    ("memory", "flags"),
    [
        ("24564\n" * 8, "--tensor-parallel-size 2 --data-parallel-size 4"),
        ("81559\n" * 8, "--tensor-parallel-size 1 --data-parallel-size 8"),
        ("24564\n", "--tensor-parallel-size 1 --data-parallel-size 1"),
        ("81559\n24564\n81559\n", "--tensor-parallel-size 2 --data-parallel-size 1"),
    ],
)
def test_an_8b_model_is_fitted_to_the_gpus(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, memory: str, flags: str
) -> None:
    driver = tmp_path / "nvidia-smi"
    driver.write_text(f"#!/bin/sh\nprintf '{memory}'\n")
    driver.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    fitting = f"{flags} --engine-args '{{\"max_model_len\":8192}}'"
    plan = planned(capsys, "2", "--judge", "j", "PERSONAGYM_FLAGS=--top-p 1")
    assert plan.count(fitting) == 6, "evaluations; the judged answers have flags of their own"
    assert fitting not in planned(capsys, "2", "--eval-flags", "--top-k 5")
    assert "parallel" not in planned(capsys, "2", "--lab")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert "parallel" not in planned(capsys, "2")


def test_commands_run_in_order_without_the_knobs_of_this_one(
    recorder: CommandRecorder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in (KNOBS | {"EPOCHS": "2", "SEEDS": "2", "DRY_RUN": "0", "LAB": "0"}).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("permix_verl.cli.reproduce.read_rows", lambda *_: [])
    assert reproduce.main(["11", "--out", str(tmp_path), "--runs-dir", str(tmp_path), "--tasks", "aime24"]) == 0
    *ran, report = recorder.calls
    assert [call.verb for call in ran] == ["eval", *["train", "eval"] * 11] * 2
    for call in ran:
        assert call.environment["EPOCHS"] == "2"
        assert call.environment["LAB"] == "0"
        assert {*KNOBS, "SEEDS", "OUT", "RUNS_DIR", "DRY_RUN"} & {*call.environment} == set()
    assert [call.knobs()["SEED"] for call in ran if call.verb == "train"] == ["4"] * 11 + ["5"] * 11
    assert report.verb == "report"
    assert report.arguments[:2] == (f"{tmp_path}/base-seed4", f"{tmp_path}/sft-seed4")
    assert report.arguments[-3:] == (f"{tmp_path}/permix-seed5", "--out", f"{tmp_path}/report")
    said = capsys.readouterr().out
    assert said.startswith("\n== Base, seed 4: evaluation\n\n== SFT, seed 4: training\n")
    assert "\n== report\ntable 11: " in said


@pytest.mark.parametrize("status", [3, 130])
def test_a_failing_step_ends_the_command(
    recorder: CommandRecorder, tmp_path: Path, capsys: pytest.CaptureFixture[str], status: int
) -> None:
    recorder.fail, recorder.status = "sft", status
    assert reproduce.main(["11", f"OUT={tmp_path}", "REWRITER=r"]) == status
    assert [call.verb for call in recorder.calls] == ["eval", "train"]
    said = capsys.readouterr().err
    assert said == ("" if status == 130 else "error: SFT: training exited with 3; the same command resumes there\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give one table of the paper: 2, 3, 4, 10, 11 or 12"),
        (["2", "3"], "give one table of the paper"),
        (["2", "TEACHER=x"], "TEACHER is set here, for every method; unset it"),
        (["2", "INIT_ADAPTER=x"], "INIT_ADAPTER is set here"),
        (["2", "RUN_DIR=x"], "RUN_DIR is set here"),
        (["10", "LAB=1"], "table 10 needs other problems than the lab's, whose answers are numbers; choose 2, 3 or 11"),
        (["2", "SEEDS=0"], "SEEDS=0 is not a number of 1 or more"),
        (["2", "--seeds", "x"], "SEEDS=x is not a number of 1 or more"),
        (["2", "SEED=x"], "SEED=x is not a number of 0 or more"),
        (["2", "GPU_TFLOPS=0"], "GPU_TFLOPS=0 is not a number above 0"),
        (["2", "MODELS=x"], "MODELS is not a knob of this command"),
    ],
)
def test_unsupported_arguments_are_refused(recorder: CommandRecorder, arguments: list[str], message: str) -> None:
    with pytest.raises(UserError) as refused:
        reproduce.main(arguments)
    assert str(refused.value).startswith(message)
    assert recorder.calls == []


def test_the_script_hands_knobs_arguments_and_status_on(tmp_path: Path) -> None:
    done = run_script("reproduce.sh", "2", "--limit", "5", DRY_RUN="1", SEEDS="2", OUT=str(tmp_path / "o"), RUNS="3")
    assert done.returncode == 0, done.stderr
    assert f" --runs 3 --seed 1 --limit 5 --out {tmp_path}/o/base-seed1\n" in done.stdout
    refused = run_script("reproduce.sh", "2", TEACHER="x")
    assert (refused.returncode, refused.stderr) == (2, "error: TEACHER is set here, for every method; unset it\n")
