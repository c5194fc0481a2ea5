"""Negative control: a rollout engine that never receives the trained adapter."""

from pathlib import Path

from permix_verl.runs import metrics as m

from .conftest import SHORT, Recipe

FAULTS = Path(__file__).parent / "faults"


def test_a_stale_adapter_is_reported_and_ends_the_run(recipe: Recipe, tmp_path: Path) -> None:
    run = recipe(
        "run_permix_grpo.sh",
        tmp_path / "run",
        "trainer.val_before_train=False",
        "trainer.test_freq=-1",
        "trainer.total_training_steps=3",
        "actor_rollout_ref.actor.optim.lr_warmup_steps_ratio=0",
        "actor_rollout_ref.actor.optim.lr_scheduler_type=constant",
        **SHORT | {"BATCH": "8", "SAVE_FREQ": "2", "LR": "0.05"},
        PYTHONPATH=str(FAULTS),
        VERL_USE_EXTERNAL_MODULES="stale_adapter",
    )
    steps = run.metrics
    assert list(m.training_steps(steps)) == [1], "the second was ended before its update"
    assert list(steps) == [1, 2], "and what it was ended for is in the metrics"
    assert steps[1][m.ROLLOUT_ACTOR_CORR] > 0.99, "before the first update there is nothing to be stale"
    assert m.ADAPTER_NORM_RATIO not in steps[1]
    assert steps[2][m.ROLLOUT_ACTOR_CORR] < 0.99
    assert steps[2][m.ADAPTER_NORM_RATIO] == 0, "the engine holds the adapter from before the first update"
    assert run.status == 3
    last = run.output.strip().splitlines()[-1]
    assert last.startswith("CHECK FAILED: stopped at step 2: rollout and actor disagree: correlation ")
    assert "the rollout engine has another adapter loaded: its norm is 0.0% of the trained one's" in last
    assert (run.folder / "cause.txt").read_text() in last
    assert not list((run.folder / "checkpoints").glob("global_step_*")), "SAVE_FREQ=2: not even of that step"
    assert "next:" not in run.output
