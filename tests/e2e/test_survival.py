"""Kills at any moment: the same command resumes, and the run equals one that was never killed.

The undisturbed run is that of the first command: two epochs with seeded rollouts. Another one is killed in the middle
of a save, and goes on with other data loader workers into the second epoch, where it loses its rollout engine. Rows,
personas and rewards of every step must be the same in both. More kills, and the end of such a run: tests/soak.
"""

import json
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from permix_verl.runs import metrics as m

from .conftest import FIRST, SAMPLES, STEPS, Recipe, Run, dumped, kill_by_name, kill_everything, wait_for

FAULTS = Path(__file__).parent / "faults"
OVERRIDES = ("trainer.val_before_train=False", "trainer.test_freq=-1")
KNOBS = FIRST | {"SAVE_FREQ": "2"}


def rewards(run: Run) -> dict[int, float]:
    return {step: values[m.REWARD] for step, values in m.training_steps(run.metrics).items()}


def saving(folder: Path, step: int, half: str) -> tuple[Any, dict[str, str]]:
    """Return a function that kills everything in the middle of a save, and the environment that slows the save."""
    mark = folder / "checkpoints" / f"global_step_{step}" / half / "permix-test-saving"

    def kill() -> None:
        wait_for(mark.is_file)
        kill_everything(folder)

    environment = {
        "PYTHONPATH": str(FAULTS),
        "VERL_USE_EXTERNAL_MODULES": "slow_save",
        "SLOW_SAVE": "actor" if half else "data",
        "SLOW_SAVE_STEP": str(step),
    }
    return kill, environment


def end_a_part(folder: Path, needle: str, after_step: int, ended: list[float]) -> Any:
    """Send SIGKILL to one kind of process after a finished step, and record the time."""

    def kill() -> None:
        wait_for(lambda: (folder / "rollouts" / f"{after_step}.jsonl").is_file())
        assert kill_by_name(folder, needle), f"no process with {needle!r}"
        ended.append(time.monotonic())

    return kill


def test_two_epochs_use_every_row_twice_under_different_personas(first_run: Run) -> None:
    rows = [key for step in dumped(first_run.folder).values() for key in step.elements()]
    assert len(rows) == STEPS * 16 * SAMPLES
    given = pq.read_table(first_run.folder / "data" / "train.parquet")["extra_info"].to_pylist()
    expected = Counter(info["question"] for info in given)  # two generated problems may be equal
    personas: dict[str, list[str]] = {question: [] for question in expected}
    for text, persona in rows:
        personas[next(question for question in expected if question in text)].append(persona)
    assert {question: len(drawn) for question, drawn in personas.items()} == {
        question: 2 * SAMPLES * count for question, count in expected.items()
    }
    assert sum(len(set(drawn)) > 1 for drawn in personas.values()) > 0.85 * len(personas), "1 in 25 draws repeats"


def test_the_completions_of_a_group_differ(first_run: Run) -> None:
    """About half of the pairs of these short completions differ; with one seed per group none would."""
    groups: dict[tuple[str, str], set[str]] = {}
    for file in (first_run.folder / "rollouts").glob("*.jsonl"):
        for line in file.read_text().splitlines():
            row = json.loads(line)
            groups.setdefault((file.stem, row["input"]), set()).add(row["output"])
    assert sum(len(outputs) > 1 for outputs in groups.values()) > 0.3 * len(groups)


def test_a_kill_in_a_save_and_a_lost_engine_do_not_change_the_steps(
    recipe: Recipe, first_run: Run, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    tracker = folder / "checkpoints" / "latest_checkpointed_iteration.txt"
    # In the middle of a save: the optimizer file is truncated, and the tracker still names step 2.
    kill, environment = saving(folder, 4, "actor")
    workers = (*OVERRIDES, "data.dataloader_num_workers=2")
    killed = recipe("run_permix_grpo.sh", folder, *workers, meanwhile=kill, **KNOBS, **environment)
    assert killed.status != 0
    assert tracker.read_text() == "2"
    # Resume without data loader workers; then vLLM's engine dies in a rollout of the second epoch.
    ended: list[float] = []
    last = recipe(
        "run_permix_grpo.sh", folder, *OVERRIDES, meanwhile=end_a_part(folder, "EngineCore", 8, ended), **KNOBS
    )
    assert time.monotonic() - ended[0] < 60
    assert "going on after step 2 of 14" in last.output
    assert last.status not in (0, 3)
    assert "rollout server 0 is gone" in last.output.strip().splitlines()[-1]
    assert tracker.read_text() == "8"

    steps = range(1, 9)
    expected = dumped(first_run.folder)
    assert dumped(folder) == {step: expected[step] for step in steps}
    assert rewards(last) == {step: rewards(first_run)[step] for step in steps}
    assert all(values["reward/error_rate"] == 0 for values in m.training_steps(last.metrics).values())
