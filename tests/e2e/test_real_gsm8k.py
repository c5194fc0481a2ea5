"""The recipe on the real 7,473 training problems, interrupted and killed on the way."""

import signal
from pathlib import Path

from permix_verl import load_pool
from permix_verl.training import metrics as m

from .conftest import Recipe

ROOT = Path(__file__).resolve().parents[2]


def test_real_problems_train_validate_and_survive_an_interrupt_and_a_kill(
    recipe: Recipe, tmp_path: Path, shared_data: Path
) -> None:
    from permix_verl.tiny.model import ensure_world

    model = ensure_world(ROOT / "runs" / "tiny-world")["model"]
    knobs = {
        "MODEL": str(model),
        "DATA": str(shared_data / "gsm8k"),
        "BATCH": "8",
        "PROMPT_LENGTH": "320",
        "RESPONSE_LENGTH": "48",
        "VAL_PROBLEMS": "2",
        "SAVE_FREQ": "1",
        "LR": "1e-3",
    }
    overrides = ["trainer.total_training_steps=3", "trainer.val_before_train=False"]
    folder = tmp_path / "run"
    first = recipe("run_permix_grpo.sh", folder, *overrides, stop_after=r"^ +1/3 ", **knobs)
    assert first.status == 130
    assert "of 7473 problems dropped" in first.output
    assert "the same command goes on" in first.output

    # Killed outright: nobody ends verl, Ray and vLLM but the next launch.
    second = recipe("run_permix_grpo.sh", folder, *overrides, stop_after=r"^ +2/3 ", stop_with=signal.SIGKILL, **knobs)
    assert second.status == -signal.SIGKILL
    assert "going on after step" in second.output

    third = recipe("run_permix_grpo.sh", folder, *overrides, **knobs).check()
    assert "processes that an earlier launch of this run had left behind" in third.output
    steps = m.training_steps(third.metrics)
    assert list(steps) == [1, 2, 3]
    assert all(values[m.AGREEMENT] > 0.99 for values in steps.values())
    accuracy = m.validation_accuracy(third.metrics[3])
    assert set(accuracy) == {persona.slug for persona in load_pool("train")} | {"no_persona"}
