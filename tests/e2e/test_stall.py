"""A queue that makes no progress, with every part alive: verl alone would wait for ever."""

import threading
import time
from pathlib import Path

from .conftest import SHORT, Recipe, wait_for

FAULTS = Path(__file__).parent / "faults"


def test_a_queue_without_progress_ends_the_run_within_a_minute(recipe: Recipe, tmp_path: Path) -> None:
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
