"""The recipe on the real 7,473 training problems.

By hand, three to five minutes on 2 cores:

.venv/bin/python -m pytest tests/soak/test_real_gsm8k.py -s --basetemp=runs/soak | tee docs/soak/real_gsm8k.log
"""

from pathlib import Path

from permix_verl import load_pool
from permix_verl.lab.base_model import MODEL
from permix_verl.runs import metrics as m

from ..e2e.conftest import Recipe, recipe  # noqa: F401


def test_real_problems_train_and_validate(recipe: Recipe, tmp_path: Path, shared_data: Path) -> None:  # noqa: F811
    knobs = {
        "MODEL": str(MODEL),
        "DATA": str(shared_data / "gsm8k"),
        "BATCH": "8",
        "PROMPT_LENGTH": "320",
        "RESPONSE_LENGTH": "48",
        "VAL_PROBLEMS": "2",
        "LR": "1e-3",
    }
    overrides = ["trainer.total_training_steps=3", "trainer.val_before_train=False"]
    run = recipe("run_permix_grpo.sh", tmp_path / "run", *overrides, **knobs).check()
    assert "of 7473 problems dropped" in run.output
    steps = m.training_steps(run.metrics)
    assert list(steps) == [1, 2, 3]
    assert all(values[m.ROLLOUT_ACTOR_CORR] > 0.99 for values in steps.values())
    accuracy = m.validation_accuracy(run.metrics[3])
    assert set(accuracy) == {persona.slug for persona in load_pool("train")} | {"no_persona"}
