"""The smoke test for a GPU node, here on CPU: it ends in one file of evidence."""

import json
from pathlib import Path

from .conftest import Recipe


def test_the_smoke_test_leaves_its_evidence(recipe: Recipe, tmp_path: Path) -> None:
    run = recipe("smoke_gpu.sh", tmp_path / "run", BATCH="8").check()
    evidence = json.loads((run.folder / "evidence.json").read_text())
    assert evidence["passed"] is True
    assert list(evidence["steps"]) == ["1", "2", "3"]
    for step in evidence["steps"].values():
        assert step["agreement"] > 0.99
        assert step["step_s"] > step["gen_s"] > 0
        assert step["max_memory_allocated_gb"] > 0
    assert evidence["packages"]["verl"] == "0.9.1"
    assert evidence["verdict"]["adapter"]["largest"] < 1e-4
    assert evidence["live"]["optimizer"]["clip_grad"] == 0.1
    assert f"send back {run.folder}/evidence.json" in run.output
