"""The wheel, outside the checkout: in an empty environment, and beside the packages that training needs."""

import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from permix_verl.cli.main import VERBS

from ..support.clean_tree import copy_tracked, tracked_files

ROOT = Path(__file__).resolve().parents[2]
PROBE = """
import importlib, sys, threading
import permix_verl
assert "site-packages" in permix_verl.__file__
assert (len(permix_verl.load_pool("train")), len(permix_verl.load_pool("eval"))) == (25, 16)
reward = importlib.import_module("permix_verl.reward_fns.math_reward")  # as pkg:// does
found = []
thread = threading.Thread(target=lambda: found.append(reward.compute_score("x", "\\\\boxed{18}", "18")))
thread.start(); thread.join()
assert found[0]["score"] == 1.0, found
assert reward.compute_score("x", "\\\\boxed{17}", "18")["status"] == "wrong"
assert not {"torch", "verl", "vllm", "ray"} & set(sys.modules)
print("ok")
"""


def run(folder: Path, *command: str) -> str:
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, env=variables)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    tree = copy_tracked(folder / "tree")  # a build folder of an earlier build would be packed too
    run(folder, sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(tree))
    return next(folder.glob("permix_verl-*.whl"))


@pytest.fixture(scope="module")
def beside_training(wheel: Path) -> Path:
    """An environment with the wheel, which sees the other packages of this one and not its checkout."""
    folder = wheel.parent / "training"
    run(wheel.parent, sys.executable, "-m", "venv", str(folder))
    python = folder / "bin" / "python"
    run(folder, str(python), "-m", "pip", "install", "--quiet", "--no-deps", str(wheel))
    packages = run(folder, str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip()
    (Path(packages) / "others.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder / "bin"


def test_the_wheel_alone_loads_pools_and_scores_from_a_thread(wheel: Path) -> None:
    folder = wheel.parent
    run(folder, sys.executable, "-m", "venv", str(folder / "clean"))
    python = str(folder / "clean" / "bin" / "python")
    run(folder, python, "-m", "pip", "install", "--quiet", str(wheel))
    assert run(folder, python, "-c", PROBE).strip() == "ok"
    assert "usage: permix VERB" in run(folder, str(folder / "clean" / "bin" / "permix"), "--help")


def test_the_wheel_has_every_file_of_the_package(wheel: Path) -> None:
    files = [file for file in tracked_files() if file.parts[0] in ("permix_verl", "reward_fns")]
    expected = {
        str("permix_verl" / file if file.parts[0] == "reward_fns" else file)
        for file in files
        if not (ROOT / file).is_symlink()
    }
    assert len(expected) > 200
    contents = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert contents == expected


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_answers_from_the_wheel(beside_training: Path, verb: str) -> None:
    assert "usage: " in run(beside_training, str(beside_training / "permix"), verb, "--help")


def test_a_plan_is_made_from_the_wheel(beside_training: Path) -> None:
    """Its packages must all be in the wheel; the lab's model is."""
    where = "import permix_verl.lab.base_model as base; print(base.MODEL)"
    model = run(beside_training, str(beside_training / "python"), "-c", where).strip()
    assert "site-packages" in model
    plan = [str(beside_training / "permix"), "plan", "--model", model, "permix_grpo", "profile=8xa5000"]
    assert "GiB" in run(beside_training, *plan)


def test_the_configuration_is_in_the_wheel(beside_training: Path, tmp_path: Path) -> None:
    command = [str(beside_training / "permix"), "train", "permix_sft", "PROFILE=gpu", "--dry-run=overrides"]
    assert "data.custom_cls.name=SupervisedDataset" in run(beside_training, *command)
