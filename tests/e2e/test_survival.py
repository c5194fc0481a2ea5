"""Killed at any moment, the same command goes on, and the run is the one that was never killed.

Two runs of two epochs with seeded rollouts: one undisturbed, and one that is killed three times, with 2 data loader
workers and without. Rows, personas and rewards of every step must be the same in both. More kills: tests/soak.
"""

import json
import signal
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from permix_verl.training import metrics as m

from .conftest import SHORT, Recipe, Run, dumped, kill_by_name, kill_everything, wait_for

FAULTS = Path(__file__).parent / "faults"
OVERRIDES = ("trainer.val_before_train=False", "trainer.test_freq=-1")
SAMPLES = 2
KNOBS = SHORT | {"LAB_PROBLEMS": "80", "EPOCHS": "2", "ROLLOUTS": str(SAMPLES)}
STEPS = 9
"""72 rows twice, in batches of 16."""


@pytest.fixture(scope="module")
def undisturbed(recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Run:
    run = recipe("run_permix_grpo.sh", tmp_path_factory.mktemp("undisturbed") / "run", *OVERRIDES, **KNOBS).check()
    assert list(dumped(run.folder)) == list(range(1, STEPS + 1))
    return run


def rewards(run: Run) -> dict[int, float]:
    return {step: values[m.REWARD] for step, values in m.training_steps(run.metrics).items()}


def saving(folder: Path, step: int, half: str) -> tuple[Any, dict[str, str]]:
    """Kill everything in the middle of saving a step; with the environment that makes the middle long."""
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
    """SIGKILL to one kind of process when a step is done; notes when."""

    def kill() -> None:
        wait_for(lambda: (folder / "records" / f"{after_step}.jsonl").is_file())
        assert kill_by_name(folder, needle), f"no process with {needle!r}"
        ended.append(time.monotonic())

    return kill


def check_same_run(run: Run, undisturbed: Run) -> None:
    assert dumped(run.folder) == dumped(undisturbed.folder)
    mine, theirs = rewards(run), rewards(undisturbed)
    # A launch that was killed between a checkpoint and its log line leaves a step without metrics.
    assert set(mine) <= set(theirs)
    assert len(mine) >= STEPS - 2
    assert {step: mine[step] for step in mine} == {step: theirs[step] for step in mine}


def test_two_epochs_show_every_row_twice_under_different_draws(undisturbed: Run) -> None:
    rows = [key for step in dumped(undisturbed.folder).values() for key in step.elements()]
    assert len(rows) == STEPS * 16 * SAMPLES
    given = pq.read_table(undisturbed.folder / "data" / "train.parquet")["extra_info"].to_pylist()
    expected = Counter(info["question"] for info in given)  # made-up problems: two may be the same
    personas: dict[str, list[str]] = {question: [] for question in expected}
    for text, persona in rows:
        personas[next(question for question in expected if question in text)].append(persona)
    assert {question: len(drawn) for question, drawn in personas.items()} == {
        question: 2 * SAMPLES * count for question, count in expected.items()
    }
    assert sum(len(set(drawn)) > 1 for drawn in personas.values()) > 0.85 * len(personas), "1 in 25 draws repeats"


def test_the_samples_of_a_group_differ_from_each_other(undisturbed: Run) -> None:
    """About half of these short answers do, in pairs; with one seed for a group none would."""
    groups: dict[tuple[str, str], set[str]] = {}
    for file in (undisturbed.folder / "rollouts").glob("*.jsonl"):
        for line in file.read_text().splitlines():
            row = json.loads(line)
            groups.setdefault((file.stem, row["input"]), set()).add(row["output"])
    assert sum(len(outputs) > 1 for outputs in groups.values()) > 0.3 * len(groups)


def test_killed_three_times_with_and_without_workers(recipe: Recipe, undisturbed: Run, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    workers = (*OVERRIDES, "data.dataloader_num_workers=2")
    # While everything starts, the launcher alone: nobody ends what it started but the next launch.
    first = recipe(
        "run_permix_grpo.sh", folder, *OVERRIDES, stop_after=r"\.\.\. 3\d s", stop_with=signal.SIGKILL, **KNOBS
    )
    assert first.status == -signal.SIGKILL
    # In the middle of a save: the actor's optimizer is cut short, the tracker still names step 2.
    kill, environment = saving(folder, 4, "actor")
    second = recipe("run_permix_grpo.sh", folder, *workers, meanwhile=kill, **KNOBS, **environment)
    assert "processes that an earlier launch of this run had left behind" in second.output
    assert second.status != 0
    assert (folder / "checkpoints" / "latest_checkpointed_iteration.txt").read_text() == "2"
    # vLLM's engine, in the middle of a rollout.
    ended: list[float] = []
    third = recipe(
        "run_permix_grpo.sh", folder, *workers, meanwhile=end_a_part(folder, "EngineCore", 5, ended), **KNOBS
    )
    assert time.monotonic() - ended[0] < 60
    assert third.status not in (0, 3)
    assert "rollout server 0 is gone" in third.output.strip().splitlines()[-1]
    # And then on without data loader workers.
    last = recipe("run_permix_grpo.sh", folder, *OVERRIDES, **KNOBS).check()
    assert "going on after step 4 of 9" in last.output
    check_same_run(last, undisturbed)
    assert all(values["reward/error_rate"] == 0 for values in m.training_steps(last.metrics).values())
