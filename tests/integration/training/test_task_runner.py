"""Variables for verl's task runner: they arrive in its process, and stand in no file of Ray."""

import contextlib
import os
import runpy
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from permix_verl.training.hooks import ray_watch
from permix_verl.training.hooks.task_runner import make_task_runner

SECRET = "hidden-word-4711"
RUN = """
import os, sys
import ray
from omegaconf import OmegaConf
from permix_verl.training.hooks.task_runner import make_task_runner

@ray.remote
class StandInRunner:
    def run(self, config):
        print("the runner is running", flush=True)
        return config.trainer.logger, os.environ.get("WANDB_API_KEY")

secret, place, openly = sys.stdin.read().split()
env = {"env_vars": {"PYTHONPATH": os.getcwd()} | ({"WANDB_API_KEY": secret} if openly == "openly" else {})}
ray.init(num_cpus=1, include_dashboard=False, _temp_dir=place, runtime_env=env)
runner = make_task_runner({"WANDB_API_KEY": secret}, StandInRunner)
config = OmegaConf.create({"trainer": {"logger": ["console", "trackio"]}})
print(*ray.get(runner.remote().run.remote(config)))
ray.shutdown()
"""


@pytest.fixture
def place() -> Iterator[Path]:
    """Return a folder for Ray, whose sockets need a short path."""
    folder = Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def run_with(place: Path, openly: str) -> list[str]:
    """Run the stand-in in a Ray of its own; return what it printed last."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    done = subprocess.run(
        [sys.executable, "-c", RUN],
        input=f"{SECRET} {place} {openly}",
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    (place / "driver.log").write_text(done.stderr)  # to be searched, too
    return [line for line in done.stdout.splitlines() if "console" in line]


def files_with(text: str, folder: Path) -> list[str]:
    files = [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
    assert any(path.name.startswith("gcs_server") for path in files)
    return [path.name for path in files if text.encode() in path.read_bytes()]


def test_a_secret_reaches_the_runner_and_stands_in_no_file_of_ray(place: Path) -> None:
    assert run_with(place, "hidden") == [f"['console', 'trackio'] {SECRET}"]
    assert files_with(SECRET, place) == []
    assert files_with("the runner is running", place)


def test_the_search_finds_a_variable_of_the_runtime_environment(place: Path) -> None:
    """Negative control."""
    run_with(place, "openly")
    assert files_with(SECRET, place)


def test_the_grpo_trainer_runs_verls_own_runner_with_the_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    from verl.trainer import main_ppo

    theirs = main_ppo.TaskRunnerV1
    used: list[Any] = []
    monkeypatch.setattr(main_ppo, "TaskRunnerV1", theirs)  # to be restored
    monkeypatch.setattr(main_ppo, "main", lambda: used.append(main_ppo.TaskRunnerV1))
    monkeypatch.setattr(ray_watch, "watch_ray", contextlib.nullcontext)
    monkeypatch.setenv("WANDB_API_KEY", SECRET)
    runpy.run_module("permix_verl.training.hooks.grpo_trainer", run_name="__main__")
    (runner,) = used
    assert runner is not theirs
    ours, base = (each.__ray_metadata__.modified_class for each in (runner, theirs))
    assert issubclass(ours, base)
    assert runner.__ray_metadata__.class_name == theirs.__ray_metadata__.class_name == "TaskRunnerV1"
    seen: list[str | None] = []
    monkeypatch.setattr(base, "run", lambda self, config: seen.append(os.environ.get("WANDB_API_KEY")))
    monkeypatch.delenv("WANDB_API_KEY")
    ours.run(object.__new__(ours), {})
    assert seen == [SECRET]


def test_a_runner_without_variables_is_verls(monkeypatch: pytest.MonkeyPatch) -> None:
    before = dict(os.environ)
    runner = make_task_runner({}).__ray_metadata__.modified_class
    monkeypatch.setattr(runner.__mro__[1], "run", lambda self, config: "ran")
    assert runner.run(object.__new__(runner), {"trainer": {"logger": "console"}}) == "ran"
    assert dict(os.environ) == before
