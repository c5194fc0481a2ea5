"""The baseline arm runs, without a persona in any training prompt."""

import json
from pathlib import Path

from .conftest import Recipe


def test_rlvr_trains_on_prompts_without_personas(recipe: Recipe, tmp_path: Path) -> None:
    overrides = ["trainer.total_training_steps=2", "trainer.val_before_train=False", "trainer.test_freq=-1"]
    run = recipe("run_rlvr_grpo.sh", tmp_path / "run", *overrides).check()
    rows = [json.loads(line) for file in (run.folder / "rollouts").glob("*.jsonl") for line in file.open()]
    assert len(rows) == 2 * 16 * 8
    assert not any("system" in row["input"] for row in rows)
    assert "next: bash recipes/run_permix_grpo.sh" in run.output
