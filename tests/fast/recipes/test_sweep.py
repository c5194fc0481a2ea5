"""The model sweep: its dry run, and the failure of one model. No model is loaded."""

import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from ...conftest import recorded

ROOT = Path(__file__).resolve().parents[3]
KNOBS = {"MODELS", "TASKS", "RUNS", "PERSONAS", "OUT", "LIMIT", "MAX_TOKENS", "GPUS", "GPU_GIB", "TENSOR_PARALLEL"}


def sweep(*arguments: str, **knobs: str) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if key not in KNOBS}
    # Hide this machine's GPUs, and create no environment.
    environment |= {"CUDA_VISIBLE_DEVICES": "", "PERMIX_SKIP_SETUP": "1", "PYTHON": "/no/such/python"} | knobs
    command = ["bash", str(ROOT / "recipes" / "sweep_models.sh"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment, stdin=subprocess.DEVNULL)


def dry_run(*arguments: str, **knobs: str) -> list[str]:
    done = sweep(*arguments, DRY_RUN="1", **knobs)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def calls(lines: list[str]) -> list[dict[str, str]]:
    """Return the options of the printed commands."""
    options = []
    for line in lines:
        if "eval/run.py" in line:
            words = shlex.split(line.split(": ", 1)[1])[2:]
            options.append(dict(zip(words[::2], words[1::2], strict=True)))
    return options


def test_a_dry_run_names_12_models_with_samples_and_tokens() -> None:
    lines = dry_run()
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
    sizes = [line for line in lines if line.startswith("  ")]
    assert sizes[0] == (
        f"  math500: 500 problems x 17 arms x 5 runs = {500 * 17 * 5} samples; "
        f"completions at most {500 * 17 * 5 * 2048} tokens, prompts about {500 * 17 * 5 * 125}"
    )
    assert sizes[1].startswith(f"  aime24: 30 problems x 17 arms x 5 runs = {30 * 17 * 5} samples;")
    assert sizes == sizes[:2] * 12
    total = 12 * 17 * 5 * (500 * 2048 + 30 * 4096)
    assert lines[-1].startswith(f"in all: {12 * 530 * 17 * 5} samples, at most {total} completion tokens;")


def test_the_papers_models_are_the_columns_of_its_tables() -> None:
    header = (ROOT / "docs" / "paper_tables" / "table8_math500.csv").read_text(encoding="utf-8").splitlines()[0]
    assert [command["--model"] for command in calls(dry_run())] == header.split(",")[2:]


@pytest.mark.parametrize(
    ("gib", "split"),
    [
        ("24", {"Qwen3-32B": "4", "Llama-3.3-70B-Instruct": "8", "gemma-3-12b-it": "2", "gemma-3-27b-it": "4"}),
        ("80", {"Qwen3-32B": "2", "Llama-3.3-70B-Instruct": "4"}),
    ],
)
def test_large_models_use_the_fewest_gpus_that_hold_them(gib: str, split: dict[str, str]) -> None:
    for command in calls(dry_run(GPUS="8", GPU_GIB=gib)):
        expected = split.get(command["--model"].split("/")[1], "1")
        assert command["--tensor-parallel-size"] == expected, command["--model"]
        assert command["--data-parallel-size"] == str(8 // int(expected))


def test_gpus_and_the_memory_of_the_smallest_are_read_from_the_driver(tmp_path: Path) -> None:
    driver = tmp_path / "nvidia-smi"
    driver.write_text(
        "#!/usr/bin/env bash\n"
        "if [[ $1 == *=name ]]; then printf 'NVIDIA RTX A5000\\n%.0s' {1..4}; else printf '81559\\n24564\\n'; fi\n"
    )
    driver.chmod(0o755)
    path = {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}", "CUDA_VISIBLE_DEVICES": "0,1,2,3"}
    (command,) = calls(dry_run(MODELS="google/gemma-3-12b-it", **path))
    assert (command["--tensor-parallel-size"], command["--data-parallel-size"]) == ("2", "2")


def test_models_that_do_not_fit_or_have_no_size_are_noted() -> None:
    done = sweep(DRY_RUN="1", MODELS="meta-llama/Llama-3.3-70B-Instruct a/mixtral-8x7B", GPUS="1", GPU_GIB="80")
    assert done.returncode == 0
    assert "note: 70 B parameters are tight on 1 x 80 GiB" in done.stderr
    assert "note: 'a/mixtral-8x7B' does not say its size" in done.stderr


def test_knobs_and_more_arguments_reach_the_command(tmp_path: Path) -> None:
    (tmp_path / "own.jsonl").write_text('{"key": "a"}\n\n{"key": "b"}\n')
    knobs = {"MODELS": "x/y-7B  z", "TASKS": "gsm8k", "RUNS": "2", "LIMIT": "10", "MAX_TOKENS": "99"}
    knobs |= {"PERSONAS": str(tmp_path / "own.jsonl"), "OUT": "o ut", "TENSOR_PARALLEL": "2", "GPUS": "4"}
    lines = dry_run("--adapter", "a b", **knobs)
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
    }
    assert (second["--model"], second["--out"]) == ("z", "o ut/z")
    assert lines[1].startswith("  gsm8k: 10 problems x 3 arms x 2 runs = 60 samples; completions at most 5940 tokens")
    assert any("30 problems" in line for line in dry_run(TASKS="aime24", LIMIT="50", MODELS="z"))


@pytest.mark.parametrize(
    ("arguments", "knobs", "message"),
    [
        ((), {"TASKS": "math500,aime"}, "error: unknown task 'aime' in TASKS; known: gsm8k math500 aime24"),
        ((), {"PERSONAS": "evil"}, "error: no personas 'evil'; give eval, train or a .jsonl file in PERSONAS"),
        (("--out=x",), {}, "error: --out=x is a knob here; set it in front, in upper case"),
    ],
)
def test_invalid_arguments_are_refused_before_any_model_is_loaded(
    arguments: tuple[str, ...], knobs: dict[str, str], message: str
) -> None:
    done = sweep(*arguments, **knobs)
    assert done.returncode == 2
    assert message in done.stderr
    assert "eval/run.py" not in done.stdout


@pytest.fixture
def recorder(fake_python: dict[str, str], tmp_path: Path) -> dict[str, str]:
    return fake_python | {"OUT": str(tmp_path / "out"), "DRY_RUN": "0"}


def test_all_models_are_run_and_then_reported_together(recorder: dict[str, str]) -> None:
    done = sweep("--seed", "3", MODELS="a/one-1B b/two-2B", **recorder)
    assert done.returncode == 0, done.stderr
    one, two, report = recorded(recorder)
    out = recorder["OUT"]
    assert one.startswith(f"{ROOT}/eval/run.py --model a/one-1B --tasks math500,aime24 ")
    assert one.endswith(" --seed 3")
    assert f"--model b/two-2B --tasks math500,aime24 --personas eval --runs 5 --out {out}/b__two-2B " in two
    assert report == f"{ROOT}/eval/report.py {out}/a__one-1B {out}/b__two-2B --out {out}/report"


def test_a_failed_model_is_named_and_the_others_continue(recorder: dict[str, str]) -> None:
    done = sweep(MODELS="a/one-1B b/two-2B c/three-3B", FAIL="--model b/two-2B", **recorder)
    assert done.returncode == 1
    assert re.search(r"^error: failed: b/two-2B; .*the same command goes on with them$", done.stderr, re.M)
    *runs, report = recorded(recorder)
    assert len(runs) == 3
    assert "b__two-2B" not in report
    assert "a__one-1B" in report
    assert "c__three-3B" in report


def test_nothing_is_reported_if_every_model_failed(recorder: dict[str, str]) -> None:
    done = sweep(MODELS="a/one-1B b/two-2B", FAIL="eval/run.py", **recorder)
    assert done.returncode == 1
    assert "error: failed: a/one-1B b/two-2B;" in done.stderr
    assert len(recorded(recorder)) == 2


def test_an_interrupt_ends_the_sweep_and_a_failed_report_its_success(recorder: dict[str, str]) -> None:
    assert sweep(MODELS="a/one-1B b/two-2B", FAIL="eval/run.py", FAIL_STATUS="130", **recorder).returncode == 130
    assert len(recorded(recorder)) == 1
    assert sweep(MODELS="a/one-1B", FAIL="eval/report.py", FAIL_STATUS="2", **recorder).returncode == 1
