"""QLORA=1 as a user runs it: agreement at every step, and the adapter checked on its NF4 base.

By hand, about ten minutes on 2 idle cores:

    .venv/bin/python -m pytest tests/soak/test_qlora.py -s | tee docs/soak/qlora.log
"""

import json
from pathlib import Path

from permix_verl.runs import metrics as m

from ..e2e.conftest import Recipe, Run, recipe  # noqa: F401

KNOBS = {"QLORA": "1", "LAB_PROBLEMS": "72", "SAVE_FREQ": "2", "ROLLOUTS": "4"}
OVERRIDES = ("trainer.val_before_train=False", "trainer.test_freq=-1")


def trained_on_nf4(run: Run, ranks: int) -> None:
    """Four steps, in one launch or in two, and their results."""
    steps = m.training_steps(run.metrics)
    assert sorted(steps) == [1, 2, 3, 4]
    checks = json.loads((run.folder / "verdict.json").read_text())
    precision = json.loads((run.folder / "live.json").read_text())["precision"]
    print("agreement", {step: round(values[m.ROLLOUT_ACTOR_CORR], 5) for step, values in steps.items()})
    print("checks", checks)
    print("precision", precision)
    assert all(0.98 < values[m.ROLLOUT_ACTOR_CORR] < 0.99999 for values in steps.values()), "near, but another base"
    assert (precision["base"], precision["packed_weights"]) == ("nf4", 28)
    assert checks["policy_has_moved"]
    assert checks["problems"] == []
    assert checks["adapter"]["largest"] < 1e-4
    shards = {file.name for file in (run.folder / "checkpoints" / "global_step_4" / "actor").glob("model_*.pt")}
    assert shards == {f"model_world_size_{ranks}_rank_{rank}.pt" for rank in range(ranks)}
    assert "adapter verified" in run.output


def test_a_stopped_run_resumes_and_its_adapter_is_verified(
    recipe: Recipe,  # noqa: F811
    tmp_path: Path,
) -> None:
    folder = tmp_path / "run"
    stopped = recipe("run_permix_grpo.sh", folder, *OVERRIDES, stop_after=r"^ +3/4", DOCTOR="1", **KNOBS)
    assert stopped.status == 130
    again = recipe("run_permix_grpo.sh", folder, *OVERRIDES, **KNOBS).check()
    assert "going on after step 2 of 4" in again.output
    trained_on_nf4(again, ranks=1)


def test_two_ranks_train_one_adapter_on_replicated_bases(
    recipe: Recipe,  # noqa: F811
    tmp_path: Path,
) -> None:
    trained_on_nf4(recipe("run_permix_grpo.sh", tmp_path / "run", *OVERRIDES, RANKS="2", **KNOBS).check(), ranks=2)


def test_the_supervised_recipe_trains_on_it_too(
    recipe: Recipe,  # noqa: F811
    tmp_path: Path,
) -> None:
    run = recipe("run_permix_sft.sh", tmp_path / "run", EPOCHS="1", **KNOBS).check()
    checks = json.loads((run.folder / "verdict.json").read_text())
    print("checks", checks)
    assert checks["policy_has_moved"]
    assert checks["problems"] == []
    assert abs(checks["held_out"]["adapter"] - checks["held_out"]["trained"]) < 1e-4
