"""The smoke test: its training's settings, its report and exit status. Nothing is trained."""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from permix_verl.cli import smoke
from permix_verl.recipe.resolve import resolve

from ...support.recorded_commands import CommandRecorder, record_commands, run_script


@pytest.fixture(autouse=True)
def recorder(monkeypatch: pytest.MonkeyPatch) -> CommandRecorder:
    return record_commands(monkeypatch, "permix_verl.cli.smoke")


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run folder whose checks have passed."""
    run = tmp_path / "run"
    run.mkdir()
    (run / "verdict.json").write_text(json.dumps({"problems": [], "policy_has_moved": True}))
    monkeypatch.setenv("RUN_DIR", str(run))
    return run


def test_three_steps_are_trained_and_the_evidence_is_named(
    recorder: CommandRecorder, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert smoke.main(["LAB=1", "BATCH=8", "data.seed=5"]) == 0
    (call,) = recorder.calls
    assert (call.verb, call.arguments[0]) == ("train", "permix_grpo")
    config = resolve("permix_grpo", call.arguments[1:], call.environment)
    assert config["trainer.total_training_steps"] == 3
    assert (config["trainer.val_before_train"], config["trainer.test_freq"]) == (False, -1)
    assert (config["permix.batch"], config["permix.val_problems"], config["permix.save_freq"]) == (8, 1, 3)
    assert (config["permix.lr"], config["data.seed"]) == (1e-3, 5)
    assert config["permix.run_dir"] == str(run)
    said = capsys.readouterr().out
    assert f"evidence  {run}/evidence.json: all checks passed; 0 steps\n" in said
    assert said.endswith(f"send back {run}/evidence.json\n")
    assert json.loads((run / "evidence.json").read_text())["passed"] is True


def test_an_override_of_the_folder_is_where_the_evidence_lies(recorder: CommandRecorder, run: Path) -> None:
    other = run.with_name("o ther")
    run.rename(other)
    assert smoke.main([f"permix.run_dir='{other}'"]) == 0
    assert (other / "evidence.json").is_file()


@pytest.mark.parametrize(("trained", "passed", "status"), [(5, True, 5), (5, False, 1), (0, False, 1)])
def test_the_status_is_the_reports_or_else_the_trainings(
    recorder: CommandRecorder, run: Path, capsys: pytest.CaptureFixture[str], trained: int, passed: bool, status: int
) -> None:
    if not passed:
        (run / "verdict.json").unlink()
    recorder.fail, recorder.status = "train", trained
    assert smoke.main([]) == status
    assert "send back" in capsys.readouterr().out, "also after a failure"


def test_a_refused_or_interrupted_training_has_no_evidence(
    recorder: CommandRecorder, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder.fail, recorder.status = "train", 130
    assert smoke.main([]) == 130
    recorder.status = 2
    monkeypatch.setenv("RUN_DIR", str(run / "none"))
    assert smoke.main([]) == 2
    assert list(run.iterdir()) == [run / "verdict.json"]


@pytest.mark.parametrize("arguments", [["DRY_RUN=1"], ["--dry-run=plan"], ["--dry-run"]])
def test_a_dry_run_reports_nothing(recorder: CommandRecorder, run: Path, arguments: list[str]) -> None:
    assert smoke.main(arguments) == 0
    assert recorder.calls[0].arguments[-1:] == tuple(arguments)
    assert list(run.iterdir()) == [run / "verdict.json"]


def test_the_memory_of_every_gpu_is_watched_during_the_training(
    recorder: CommandRecorder, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = tmp_path / "nvidia-smi"
    driver.write_text(
        '#!/bin/sh\ncase "$*" in *loop-ms=500*) echo "0, 20480"; exec sleep 60 ;; *) echo a GPU ;; esac\n'
    )
    driver.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")

    def train(command: Sequence[str], environment: Mapping[str, str]) -> int:
        while not (run / "nvidia_smi.csv").read_text():
            pass
        return 0

    monkeypatch.setattr("permix_verl.cli.smoke.run_command", train)
    assert smoke.main([]) == 0, "and the watch ends with it"
    assert json.loads((run / "evidence.json").read_text())["gpu_memory_peak_mib"] == {"0": 20480}


def test_the_script_hands_knobs_arguments_and_status_on() -> None:
    done = run_script("smoke_gpu.sh", "data.seed=5", DRY_RUN="overrides", LAB="1", BATCH="8")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert {"trainer.total_training_steps=3", "data.train_batch_size=8", "data.seed=5"} <= {*lines}
    assert run_script("smoke_gpu.sh", BATCH="many", DRY_RUN="1").returncode == 2
