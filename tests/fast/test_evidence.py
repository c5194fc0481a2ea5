"""Evidence of a run, gathered from its folder."""

import json
from pathlib import Path

import pytest

from permix_verl import UserError
from permix_verl.training.evidence import gather, main

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
    (tmp_path / "verdict.json").write_text(json.dumps({"problems": []}))
    (tmp_path / "smi.csv").write_text("0, 900\n1, 1000\n0, 20480\n1, 99")
    return tmp_path


def test_evidence_holds_versions_peaks_phases_and_checks(run: Path) -> None:
    found = gather(run, run / "smi.csv")
    assert found["passed"]
    assert found["gpu_memory_peak_mib"] == {"0": 20480, "1": 1000}
    assert found["steps"][1]["gen_s"] == 4.0
    assert found["steps"][1]["max_memory_allocated_gb"] == 11.5
    assert found["packages"]["verl"] == "0.9.1"


def test_a_failed_or_missing_check_does_not_pass(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (run / "verdict.json").write_text(json.dumps({"problems": ["rollout and actor disagree"]}))
    assert main([str(run), "--out", str(run / "evidence.json")]) == 1
    assert "NOT all checks passed" in capsys.readouterr().out
    (run / "verdict.json").unlink()
    assert not gather(run)["passed"]


def test_a_run_without_a_step_is_one_clear_error(run: Path) -> None:
    (run / "metrics" / "1.jsonl").write_text("")
    with pytest.raises(UserError, match="has no finished step; see the log in"):
        gather(run)
