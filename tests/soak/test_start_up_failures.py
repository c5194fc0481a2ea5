"""Failures of each component while a run starts: named within a minute, the checkpoint kept, no process left.

By hand, about fifteen minutes on 2 cores; a failed weight sync is in tests/e2e/test_start_up.py:

    .venv/bin/python -m pytest -s tests/soak/test_start_up_failures.py
"""

import json
import re
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from permix_verl.lab.base_model import MODEL

from ..e2e.conftest import (  # noqa: F401
    FIRST,
    Recipe,
    Run,
    first_run,
    kill_by_name,
    processes_of,
    recipe,
    wait_for,
)

FAULTS = Path(__file__).parents[1] / "e2e" / "faults"
# Fault -> (first sign of it in the log, what the last line must name).
INJECTED = {
    "engine": ("RuntimeError: the engine cannot start", "the engine cannot start"),
    "agent loop": ("RuntimeError: the agent loop cannot start", "the agent loop cannot start"),
    "reward worker": ("RuntimeError: the reward worker cannot start", "reward worker 0 is gone"),
    "port": ("Address already in use", "Address already in use"),
}


@pytest.fixture
def begun(first_run: Run, tmp_path: Path) -> Path:  # noqa: F811
    """A run with checkpoints of steps 10 and before, which the next launch resumes."""
    folder = tmp_path / "run"
    shutil.copytree(first_run.folder, folder, ignore=shutil.ignore_patterns("run.json", "logs", "global_step_14"))
    (folder / "checkpoints" / "latest_checkpointed_iteration.txt").write_text("10")
    return folder


def resume(recipe: Recipe, folder: Path, sign: str, **knobs: str) -> tuple[str, float]:  # noqa: F811
    """Launch the run; return its last line, and the seconds from the first sign of the failure to the end."""
    seen: list[float] = []

    def watch() -> None:
        wait_for(lambda: any(re.search(sign, log.read_text(errors="replace")) for log in folder.glob("logs/*.log")))
        seen.append(time.monotonic())

    threading.Thread(target=watch, daemon=True).start()
    began = time.monotonic()
    run = recipe("run_permix_grpo.sh", folder, **FIRST, **knobs)
    seconds = time.monotonic() - (seen[0] if seen else began)
    last = run.output.strip().splitlines()[-1]
    print(f"\n{knobs}: {seconds:.1f} s, {time.monotonic() - began:.1f} s from the launch; {last}")
    assert run.status not in (0, 3)
    assert (folder / "checkpoints" / "latest_checkpointed_iteration.txt").read_text() == "10"
    assert (folder / "checkpoints" / "global_step_10" / "actor" / "lora_train_meta.json").is_file()
    assert processes_of(folder) == []
    return last, seconds


@pytest.mark.parametrize("fault", INJECTED)
def test_a_component_that_cannot_start_is_named_within_a_minute(
    fault: str,
    recipe: Recipe,  # noqa: F811
    begun: Path,
) -> None:
    sign, named = INJECTED[fault]
    knobs = {"PYTHONPATH": str(FAULTS), "VERL_USE_EXTERNAL_MODULES": "start_up", "PERMIX_TEST_FAULT": fault}
    last, seconds = resume(recipe, begun, sign, **knobs)
    assert named in last
    assert seconds < 60


def test_memory_that_is_not_there_is_named(recipe: Recipe, begun: Path) -> None:  # noqa: F811
    last, seconds = resume(recipe, begun, "ValueError: Available memory", VLLM_CPU_KVCACHE_SPACE="4000")
    assert re.search("(?i)memory", last)
    assert seconds < 60


def test_a_queue_that_is_killed_is_named(recipe: Recipe, begun: Path) -> None:  # noqa: F811
    def kill() -> None:
        wait_for(lambda: bool(kill_by_name(begun, "TransferQueueController")))

    threading.Thread(target=kill, daemon=True).start()
    last, seconds = resume(recipe, begun, "TransferQueueController|ActorDiedError|The actor (?:died|is dead)")
    assert "TransferQueueController" in last
    assert seconds < 60


def break_tokenizer(model: Path) -> None:
    file = model / "tokenizer.json"
    file.write_text(file.read_text()[:1000])


def break_template(model: Path) -> None:
    template = "{{ raise_exception('System role not supported') if messages[0].role == 'system' }}"
    for file in model.glob("chat_template*"):
        file.unlink()
    config = json.loads((model / "tokenizer_config.json").read_text())
    (model / "tokenizer_config.json").write_text(json.dumps(config | {"chat_template": template}))


@pytest.mark.parametrize(("spoil", "named"), [(break_tokenizer, "tokenizer"), (break_template, "loses the user's")])
def test_a_model_whose_text_side_is_broken_is_named_before_verl_starts(
    spoil: Callable[[Path], None],
    named: str,
    recipe: Recipe,  # noqa: F811
    begun: Path,
    tmp_path: Path,
) -> None:
    model = tmp_path / "model"
    shutil.copytree(MODEL, model)
    spoil(model)
    last, seconds = resume(recipe, begun, "never", MODEL=str(model))
    assert named in last
    assert seconds < 60
