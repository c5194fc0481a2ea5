"""verl waits for ever for a rollout engine that fails during a weight sync; the launcher ends the run."""

import shutil
import time
from pathlib import Path

from .conftest import FIRST, Recipe, Run, processes_of, wait_for

FAULTS = Path(__file__).parent / "faults"


def test_a_failed_sync_ends_the_launch_within_a_minute_and_keeps_the_checkpoint(
    recipe: Recipe, first_run: Run, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(first_run.folder, folder, ignore=shutil.ignore_patterns("run.json", "logs", "global_step_14"))
    tracker = folder / "checkpoints" / "latest_checkpointed_iteration.txt"
    tracker.write_text("10")
    failed: list[float] = []

    def note() -> None:
        wait_for(lambda: any("WorkerProc hit an exception" in log.read_text() for log in folder.glob("logs/*.log")))
        failed.append(time.monotonic())

    fault = {"PYTHONPATH": str(FAULTS), "VERL_USE_EXTERNAL_MODULES": "broken_sync"}
    run = recipe("run_permix_grpo.sh", folder, meanwhile=note, **FIRST, **fault)
    assert time.monotonic() - failed[0] < 60
    assert run.status == 1
    last = run.output.strip().splitlines()[-1]
    assert "'WeightsMapper' object has no attribute 'get_unstacked_mapper'" in last
    assert "while the first weight sync" in last
    assert (folder / "cause.txt").read_text() in last
    assert tracker.read_text() == "10"
    assert (folder / "checkpoints" / "global_step_10" / "actor" / "lora_train_meta.json").is_file()
    assert processes_of(folder) == []
