"""The model sweep: its dry run, and the failure of one model. No model is loaded."""

import json
import os
import shlex
from pathlib import Path

import pytest

from permix_verl import UserError
from permix_verl.cli import sweep
from permix_verl.evaluation.sweep import PAPER_MODELS

from ...support.recorded_commands import CommandRecorder, record_commands, run_script

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(autouse=True)
def recorder(monkeypatch: pytest.MonkeyPatch) -> CommandRecorder:
    return record_commands(monkeypatch, "permix_verl.evaluation.sweep")


@pytest.fixture
def out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("OUT", str(tmp_path / "out"))
    return tmp_path / "out"


def dry_run(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[str]:
    assert sweep.main(["--dry-run", *arguments]) == 0
    return capsys.readouterr().out.splitlines()


def calls(lines: list[str]) -> list[dict[str, str]]:
    """Return the options of the printed commands."""
    options = []
    for line in lines:
        if " -m permix_verl.cli.main eval " in line:
            words = shlex.split(line.split(": ", 1)[1])[4:]
            options.append(dict(zip(words[::2], words[1::2], strict=True)))
    return options


def test_a_dry_run_names_12_models_with_samples_and_tokens(
    recorder: CommandRecorder, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = dry_run(capsys)
    commands = calls(lines)
    assert len({command["--model"] for command in commands}) == len(commands) == 12
    assert commands[0] == {
        "--model": "Qwen/Qwen3-0.6B",
        "--tasks": "math500,aime24",
        "--personas": "eval",
        "--runs": "5",
        "--out": str(ROOT / "results" / "sweep" / "Qwen__Qwen3-0.6B"),
        "--tensor-parallel-size": "1",
        "--data-parallel-size": "1",
    }
    assert lines[0].startswith("Qwen/Qwen3-0.6B (0.6 B): ")
    sizes = [line for line in lines if line.startswith("  ")]
    assert sizes[0] == (
        f"  math500: 500 problems x 17 conditions x 5 runs = {500 * 17 * 5} samples; "
        f"completions at most {500 * 17 * 5 * 2048} tokens, prompts about {500 * 17 * 5 * 125}"
    )
    assert sizes[1].startswith(f"  aime24: 30 problems x 17 conditions x 5 runs = {30 * 17 * 5} samples;")
    assert sizes == sizes[:2] * 12
    total = 12 * 17 * 5 * (500 * 2048 + 30 * 4096)
    assert lines[-1].startswith(f"in all: {12 * 530 * 17 * 5} samples, at most {total} completion tokens;")
    assert recorder.calls == []


def test_the_papers_models_are_the_columns_of_its_tables() -> None:
    header = (ROOT / "docs" / "paper_tables" / "table8_math500.csv").read_text(encoding="utf-8").splitlines()[0]
    assert list(PAPER_MODELS) == header.split(",")[2:]


@pytest.mark.parametrize(
    ("gib", "split"),
    [
        ("24", {"Qwen3-32B": "4", "Llama-3.3-70B-Instruct": "8", "gemma-3-12b-it": "2", "gemma-3-27b-it": "4"}),
        ("80", {"Qwen3-32B": "2", "Llama-3.3-70B-Instruct": "4"}),
    ],
)
def test_large_models_use_the_fewest_gpus_that_hold_them(
    capsys: pytest.CaptureFixture[str], gib: str, split: dict[str, str]
) -> None:
    for command in calls(dry_run(capsys, "GPUS=8", f"GPU_GIB={gib}")):
        expected = split.get(command["--model"].split("/")[1], "1")
        assert command["--tensor-parallel-size"] == expected, command["--model"]
        assert command["--data-parallel-size"] == str(8 // int(expected))


def test_gpus_and_the_memory_of_the_smallest_are_read_from_the_driver(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    driver = tmp_path / "nvidia-smi"
    driver.write_text("#!/bin/sh\nprintf '81559\\n24564\\n81559\\n81559\\n'\n")
    driver.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2,3")
    (command,) = calls(dry_run(capsys, "MODELS=google/gemma-3-12b-it"))
    assert (command["--tensor-parallel-size"], command["--data-parallel-size"]) == ("2", "2")


def test_models_that_do_not_fit_or_have_no_size_are_noted(capsys: pytest.CaptureFixture[str]) -> None:
    models = "meta-llama/Llama-3.3-70B-Instruct a/mixtral-8x7B"
    assert sweep.main(["--dry-run", f"MODELS={models}", "GPUS=1", "GPU_GIB=80"]) == 0
    said = capsys.readouterr().err
    assert "note: 70 B parameters are tight on 1 x 80 GiB" in said
    assert "note: 'a/mixtral-8x7B' does not say its size" in said
    assert sweep.main(["--dry-run", "MODELS=a/mixtral-8x7B", "TENSOR_PARALLEL=2", "GPUS=2"]) == 0
    assert capsys.readouterr().err == "", "the split is given"


@pytest.mark.parametrize("by", ["environment", "arguments"])
def test_knobs_and_more_arguments_reach_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], by: str
) -> None:
    rows = [json.dumps({"key": key, "system_prompt": f"You are {key}."}) for key in "ab"]
    (tmp_path / "own.jsonl").write_text("\n\n".join(rows))
    knobs = {"MODELS": "x/y-7B  z", "TASKS": "gsm8k", "RUNS": "2", "LIMIT": "10", "MAX_TOKENS": "99"}
    knobs |= {"PERSONAS": str(tmp_path / "own.jsonl"), "OUT": "o ut", "TENSOR_PARALLEL": "2", "GPUS": "4"}
    given = [f"{name}={value}" for name, value in knobs.items()] if by == "arguments" else []
    for name, value in knobs.items() if by == "environment" else ():
        monkeypatch.setenv(name, value)
    lines = dry_run(capsys, "--adapter", "a b", *given, "-T", "A=b")
    first, second = calls(lines)
    assert first == {
        "--model": "x/y-7B",
        "--tasks": "gsm8k",
        "--personas": str(tmp_path / "own.jsonl"),
        "--runs": "2",
        "--out": "o ut/x__y-7B",
        "--tensor-parallel-size": "2",
        "--data-parallel-size": "2",
        "--max-tokens": "99",
        "--limit": "10",
        "--adapter": "a b",
        "-T": "A=b",
    }
    assert (second["--model"], second["--out"]) == ("z", "o ut/z")
    assert lines[1].startswith(
        "  gsm8k: 10 problems x 3 conditions x 2 runs = 60 samples; completions at most 5940 tokens"
    )


def test_a_limit_above_the_tasks_size_is_its_size(capsys: pytest.CaptureFixture[str]) -> None:
    assert any("30 problems" in line for line in dry_run(capsys, "TASKS=aime24", "LIMIT=50", "MODELS=z"))


def test_a_part_of_a_pool_is_counted(capsys: pytest.CaptureFixture[str]) -> None:
    assert "x 3 conditions x" in dry_run(capsys, "PERSONAS=eval:dumb,kindergarten", "MODELS=z")[1]


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("TASKS=math500,aime", "unknown task 'aime' in TASKS; known: gsm8k math500 aime24"),
        ("PERSONAS=evil", "PERSONAS: no persona pool 'evil'; give one of train, eval, or the path"),
        ("--out=x", "--out=x is a knob here; set it in upper case"),
        ("--tensor-parallel-size=2", "--tensor-parallel-size=2 is a knob here"),
        ("LIMIT=0", "LIMIT=0 is not a number of 1 or more"),
        ("GPU_GIB=all", "GPU_GIB=all is not a number of GiB"),
        ("BATCH=2", "BATCH is not a knob of this command"),
    ],
)
def test_invalid_arguments_are_refused_before_any_model_is_loaded(
    recorder: CommandRecorder, argument: str, message: str
) -> None:
    with pytest.raises(UserError) as refused:
        sweep.main([argument])
    assert str(refused.value).startswith(message)
    assert recorder.calls == []


def test_all_models_are_run_and_then_reported_together(recorder: CommandRecorder, out: Path) -> None:
    assert sweep.main(["--seed", "3", "MODELS=a/one-1B b/two-2B"]) == 0
    one, two, report = recorder.calls
    assert (one.verb, one.option("--model"), one.option("--tasks")) == ("eval", "a/one-1B", "math500,aime24")
    assert one.arguments[-2:] == ("--seed", "3")
    assert (two.option("--model"), two.option("--out")) == ("b/two-2B", f"{out}/b__two-2B")
    assert report.verb == "report"
    assert report.arguments == (f"{out}/a__one-1B", f"{out}/b__two-2B", "--out", f"{out}/report")


def test_a_failed_model_is_named_and_the_others_continue(
    recorder: CommandRecorder, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recorder.fail = "b/two-2B"
    assert sweep.main(["MODELS=a/one-1B b/two-2B c/three-3B"]) == 1
    said = capsys.readouterr().err
    assert said == "error: failed: b/two-2B; their messages are above; the same command goes on with them\n"
    *runs, report = recorder.calls
    assert len(runs) == 3
    assert report.arguments == (f"{out}/a__one-1B", f"{out}/c__three-3B", "--out", f"{out}/report")


def test_nothing_is_reported_if_every_model_failed(
    recorder: CommandRecorder, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recorder.fail = "eval"
    assert sweep.main(["MODELS=a/one-1B b/two-2B"]) == 1
    assert "error: failed: a/one-1B b/two-2B;" in capsys.readouterr().err
    assert [call.verb for call in recorder.calls] == ["eval", "eval"]


def test_an_interrupt_ends_the_sweep_and_a_failed_report_its_success(recorder: CommandRecorder, out: Path) -> None:
    recorder.fail, recorder.status = "eval", 130
    assert sweep.main(["MODELS=a/one-1B b/two-2B"]) == 130
    assert len(recorder.calls) == 1
    recorder.fail, recorder.status = "report", 2
    assert sweep.main(["MODELS=a/one-1B"]) == 1


def test_the_script_hands_knobs_arguments_and_status_on() -> None:
    done = run_script("sweep_models.sh", "--adapter", "a b", DRY_RUN="1", MODELS="x/y-7B", LIMIT="5")
    assert done.returncode == 0, done.stderr
    (command,) = calls(done.stdout.splitlines())
    assert (command["--limit"], command["--adapter"]) == ("5", "a b")
    refused = run_script("sweep_models.sh", TASKS="aime")
    assert refused.returncode == 2
    assert refused.stderr.startswith("error: unknown task 'aime' in TASKS")
