"""Failures for which verl alone waits for ever, or only warns: the run ends within a minute and names the cause.

By hand, about ten minutes on 2 cores; a rollout server that dies is in tests/e2e/test_survival.py, a node in
test_cluster.py:

    .venv/bin/python -m pytest tests/soak/test_parts_that_fail.py
"""

import threading
import time
from pathlib import Path

from ..e2e.conftest import SHORT, Recipe, recipe, wait_for  # noqa: F401
from ..e2e.test_survival import FAULTS, KNOBS, OVERRIDES, end_a_part


def test_a_killed_reward_worker_is_named_and_the_run_continues(
    recipe: Recipe,  # noqa: F811
    tmp_path: Path,
) -> None:
    folder = tmp_path / "run"
    ended: list[float] = []
    kill = end_a_part(folder, "RewardLoopWorker", 3, ended)
    killed = recipe("run_permix_grpo.sh", folder, *OVERRIDES, meanwhile=kill, **KNOBS)
    assert time.monotonic() - ended[0] < 60
    assert killed.status not in (0, 3)
    assert "reward worker 0 is gone" in killed.output.strip().splitlines()[-1]
    assert "going on after step 2 of 14" in recipe("run_permix_grpo.sh", folder, *OVERRIDES, **KNOBS).check().output


def test_a_queue_without_progress_ends_the_run_within_a_minute(
    recipe: Recipe,  # noqa: F811
    tmp_path: Path,
) -> None:
    folder = tmp_path / "run"
    began: list[float] = []

    def note_the_first_step() -> None:
        wait_for((folder / "rollouts" / "1.jsonl").is_file)
        began.append(time.monotonic())

    watch = threading.Thread(target=note_the_first_step)
    watch.start()
    run = recipe(
        "run_permix_grpo.sh",
        folder,
        "trainer.val_before_train=False",
        "trainer.test_freq=-1",
        **SHORT | {"BATCH": "8", "SAVE_FREQ": "1"},
        PYTHONPATH=str(FAULTS),
        VERL_USE_EXTERNAL_MODULES="stuck_reward",
    )
    ended = time.monotonic()
    watch.join()
    assert run.status not in (0, 3)
    last = run.output.strip().splitlines()[-1]
    assert last.startswith("error: no progress for 4")
    assert "while waiting for rollouts of step 2, 8 prompts running" in last
    # The end of step 1, the generation of step 2, and then a minute at most.
    assert 40 < ended - began[0] < 120
    assert (folder / "checkpoints" / "latest_checkpointed_iteration.txt").read_text() == "1"


def test_prompts_that_verl_would_truncate_end_the_run_with_the_reason(recipe: Recipe, tmp_path: Path) -> None:  # noqa: F811
    run = recipe("run_permix_grpo.sh", tmp_path / "a run", "data.max_prompt_length=60", **SHORT)
    assert run.status not in (0, 3)
    last = run.output.strip().splitlines()[-1]
    assert last.startswith("error: 120 of 120 prompts in ")
    assert "longer than data.max_prompt_length=60" in last
    assert "verl would truncate the persona" in last
