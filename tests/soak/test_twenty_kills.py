"""A run killed twenty times at random moments has the rows, personas and rewards of an undisturbed one.

By hand, about an hour on 2 cores:

.venv/bin/python -m pytest tests/soak/test_twenty_kills.py -s --basetemp=runs/soak | tee docs/soak/twenty_kills.log
"""

import contextlib
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from permix_verl.runs import metrics as m
from permix_verl.runs.folder import RunFolder

from ..e2e.conftest import SHORT, Recipe, dumped, kill_by_name, kill_everything, processes_of, recipe  # noqa: F401

OVERRIDES = ("trainer.val_before_train=False", "trainer.test_freq=-1")
KNOBS = SHORT | {"EPOCHS": "4", "SAVE_FREQ": "1", "ROLLOUTS": "4"}
STEPS = 30
KILLS = 20
PROCESSES = ("EngineCore", "VLLM::Worker", "TaskRunner", "WorkerDict", "raylet")
AT_A_SAVE = ("in a save", "after a save")
KINDS = ("everything", "everything", *AT_A_SAVE, *PROCESSES)


def killer(
    folder: Path, kind: str, delay_s: float, in_training: bool, killed: list[str], over: threading.Event
) -> Callable[[], None]:
    """Send SIGKILL to one kind of process, or to all, after a delay or a delay after the start of a checkpoint.

    "after a save" is the moment between verl's checkpoint and its record of the step.
    """

    def saved() -> str:
        tracker = RunFolder(folder).tracker
        return tracker.read_text() if tracker.is_file() else ""

    def checkpoints() -> set[str]:
        return {path.name for path in (folder / "checkpoints").glob("global_step_*")}

    def kill() -> None:
        before, saved_before = checkpoints(), saved()
        while kind == "after a save" and not over.is_set() and saved() in ("", saved_before):
            time.sleep(0.002)
        while (in_training or kind == "in a save") and not over.is_set() and not checkpoints() - before:
            time.sleep(0.002)
        started = time.monotonic()
        while kind not in AT_A_SAVE and time.monotonic() - started < delay_s and not over.is_set():
            time.sleep(0.05)
        if over.is_set():
            return
        count = 0
        waited_since = time.monotonic()
        while count == 0 and not over.is_set():
            # Such a process may not exist yet; if it never does, kill everything.
            if kind not in PROCESSES or time.monotonic() - waited_since > 60:
                count = len(processes_of(folder))
                kill_everything(folder)
            else:
                count = len(kill_by_name(folder, kind))
            time.sleep(0.2)
        if count:
            killed.append(kind)
        # The watchdog, verl or the launcher must end the remaining processes, not this test.

    return kill


@pytest.mark.parametrize("seed", [0])
def test_twenty_kills_change_nothing(recipe: Recipe, tmp_path: Path, seed: int) -> None:  # noqa: F811
    undisturbed = recipe("run_permix_grpo.sh", tmp_path / "undisturbed", *OVERRIDES, **KNOBS).check()
    assert list(dumped(undisturbed.folder)) == list(range(1, STEPS + 1))

    folder, draw, killed = tmp_path / "run", random.Random(seed), list[str]()
    for launch in range(60):
        if len(killed) >= KILLS:
            break
        kind, in_training, workers = draw.choice(KINDS), draw.random() < 0.6, draw.choice((0, 2))
        delay_s = draw.uniform(0, 12) if in_training else draw.uniform(5, 100)
        when = f"{delay_s:.0f} s after {'a save began' if in_training else 'the start'}"
        when = when if kind not in AT_A_SAVE else "at once"
        print(f"--- launch {launch}: {kind}, {when}, {workers} data loader workers, {len(killed)} kills")
        over = threading.Event()
        began = time.monotonic()
        run = recipe(
            "run_permix_grpo.sh",
            folder,
            *OVERRIDES,
            f"data.dataloader_num_workers={workers}",
            meanwhile=killer(folder, kind, delay_s, in_training, killed, over),
            **KNOBS,
        )
        over.set()
        print(f"--- ended with {run.status} after {time.monotonic() - began:.0f} s: {last_words(run.output)}")
        if run.status == 0:
            break
    print(f"--- killed {len(killed)} times: {dict(Counter(killed))}")
    assert len(killed) >= KILLS, "the run was finished before it was killed often enough"
    last = recipe("run_permix_grpo.sh", folder, *OVERRIDES, **KNOBS).check()

    assert dumped(last.folder) == dumped(undisturbed.folder)
    mine, theirs = (
        {step: values[m.REWARD] for step, values in m.training_steps(run.metrics).items()}
        for run in (last, undisturbed)
    )
    different = {step: (mine[step], theirs[step]) for step in mine if mine[step] != theirs[step]}
    print(f"--- steps logged {len(mine)} of {STEPS}; rewards that differ from the undisturbed run's: {different}")
    assert not different
    left = []
    for process in processes_of(folder):
        with contextlib.suppress(psutil.Error):
            left.append(process.name())
    assert not left


def last_words(output: str) -> str:
    lines = output.strip().splitlines()
    return lines[-1][:200] if lines else ""
