"""Break the thing on purpose: a rollout engine that never sees the trained adapter."""

from pathlib import Path

from permix_verl.training import metrics as m

from .conftest import SHORT, Recipe

FAULTS = Path(__file__).parent / "faults"


def test_a_stale_adapter_is_seen_said_and_fails_the_run(recipe: Recipe, tmp_path: Path) -> None:
    run = recipe(
        "run_permix_grpo.sh",
        tmp_path / "run",
        "trainer.val_before_train=False",
        "trainer.test_freq=-1",
        "trainer.total_training_steps=4",
        "actor_rollout_ref.actor.optim.lr_warmup_steps_ratio=0",
        "actor_rollout_ref.actor.optim.lr_scheduler_type=constant",
        **SHORT | {"LR": "0.02"},
        PYTHONPATH=str(FAULTS),
        VERL_USE_EXTERNAL_MODULES="stale_adapter",
    )
    agreement = [values[m.AGREEMENT] for values in m.training_steps(run.metrics).values()]
    assert len(agreement) == 4
    assert agreement[0] > 0.99, "before the first update there is nothing to be stale"
    assert min(agreement[1:]) < 0.9
    assert run.status == 3
    assert "CHECK FAILED: rollout and actor disagree at" in run.output
    assert "! rollout and actor disagree: correlation" in run.output
    assert "next:" not in run.output
