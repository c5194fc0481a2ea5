"""The smoke-test report of a run."""

import json
from pathlib import Path

import pytest

from permix_verl.training.observability.smoke_report import collect_report, main

STEP = {
    "critic/score/mean": 0.5,
    "timing_s/step": 9.0,
    "timing_s/gen": 4.0,
    "actor/perf/max_memory_allocated_gb": 11.5,
    "training/rollout_actor_probs_pearson_corr": 0.999,
}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    (tmp_path / "metrics").mkdir()
    (tmp_path / "metrics" / "1.jsonl").write_text(json.dumps({"step": 1, "data": STEP}) + "\n")
    (tmp_path / "run.json").write_text(json.dumps({"overrides": {"a": "1"}, "data": {}}))
    (tmp_path / "verdict.json").write_text(json.dumps({"problems": [], "policy_has_moved": True}))
    (tmp_path / "smi.csv").write_text("0, 900\n1, 1000\n0, 20480\n1, 99")
    return tmp_path


def test_a_report_holds_versions_peaks_phases_and_checks(run: Path) -> None:
    report = collect_report(run, run / "smi.csv")
    assert report["passed"]
    assert report["gpu_memory_peak_mib"] == {"0": 20480, "1": 1000}
    assert report["steps"][1]["gen_s"] == 4.0
    assert report["steps"][1]["max_memory_allocated_gb"] == 11.5
    assert report["packages"]["verl"] == "0.9.1"


def test_a_failed_or_missing_check_does_not_pass(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (run / "verdict.json").write_text(
        json.dumps({"problems": ["rollout and actor disagree"], "policy_has_moved": True})
    )
    assert main([str(run), "--out", str(run / "evidence.json")]) == 1
    assert "NOT all checks passed" in capsys.readouterr().out
    (run / "verdict.json").unlink()
    assert not collect_report(run)["passed"]


def test_checks_that_could_not_have_failed_do_not_pass(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (run / "verdict.json").write_text(json.dumps({"problems": [], "policy_has_moved": False}))
    assert main([str(run), "--out", str(run / "evidence.json")]) == 1
    assert "the policy has hardly moved" in capsys.readouterr().out


def test_a_run_that_failed_has_a_report_of_its_cause(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "1.log").write_text("torch.OutOfMemoryError: CUDA out of memory\n")
    (tmp_path / "cause.txt").write_text("rollout server 0 is gone")
    assert main([str(tmp_path), "--out", str(tmp_path / "evidence.json")]) == 1
    report = json.loads((tmp_path / "evidence.json").read_text())
    assert report["cause"] == "rollout server 0 is gone"
    assert report["log_tail"] == ["torch.OutOfMemoryError: CUDA out of memory"]
    assert report["packages"]["verl"] == "0.9.1"
    assert report["steps"] == {}


def test_a_report_says_which_rows_of_ones_own_have_which_personas(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mix = {"pool": "train", "pool_sha256": "a", "pool_size": 25}
    own = {
        "train": {"files": {"mine.parquet": "a"}, "personas": ["chef", "pilot"], "mix": mix},
        "val": {"files": {"val.parquet": "b"}, "personas": []},
    }
    (run / "run.json").write_text(json.dumps({"overrides": {}, "data": {}, "own_files": own}))
    main([str(run), "--out", str(run / "evidence.json")])
    said = capsys.readouterr().out
    assert "train rows of mine.parquet: personas of pool train are mixed in as they load" in said
    assert "val rows of val.parquet are without personas: validated as they are (permix mix --every-persona" in said
    assert json.loads((run / "evidence.json").read_text())["own_files"] == own
    own["val"]["files"] = {}  # prepared rows
    own["train"]["personas"] = ["no_persona"]
    (run / "run.json").write_text(json.dumps({"overrides": {}, "own_files": own}))
    main([str(run), "--out", str(run / "evidence.json")])
    said = capsys.readouterr().out
    assert "train rows of mine.parquet: read as they are" in said
    assert "val rows" not in said
