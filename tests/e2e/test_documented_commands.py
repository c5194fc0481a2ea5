"""Every command line of README and docs, in a clean copy of the tree and a shell in which nothing is activated."""

import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from ..support.clean_tree import copy_tracked
from ..support.documented_commands import LAB, NOT_RUN, ROOT, Check, Documented, check_of, documented, reason_not_run

COMMANDS = list(documented())
_DONE: dict[Check, tuple[int, str]] = {}


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copy the tracked files; ``.venv`` is the environment that runs the tests."""
    tree = copy_tracked(tmp_path_factory.mktemp("clean") / "permix-verl")
    (tree / ".venv").symlink_to(sys.prefix)
    (tree / "runs").mkdir()
    return tree


@pytest.fixture(scope="module")
def shell(tree: Path) -> dict[str, str]:
    """Environment of a user's shell: a plain ``python`` without this project's packages, and nothing activated."""
    scripts = tree.parent / "bin"
    scripts.mkdir()
    for name in ("python", "python3"):
        (scripts / name).symlink_to(Path(sys.base_prefix) / "bin" / "python3")
    return {
        "HOME": str(tree.parent),
        "PATH": f"{scripts}:/usr/local/bin:/usr/bin:/bin",
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": "1",
        # In place of the two set-up commands.
        "PERMIX_SKIP_SETUP": "1",
        "PYTHON": str(tree / ".venv" / "bin" / "python"),
    }


@pytest.fixture(scope="module")
def adapter(tree: Path) -> Path:
    """An adapter of the lab's model, for INIT_ADAPTER."""
    from permix_verl.training.hooks.initial_adapter import make_initial_adapter

    base = str(ROOT / LAB)
    out = tree.parent / "adapter"
    return make_initial_adapter(base, out, rank=4, alpha=8, dropout=0.0, target_modules=["q_proj", "v_proj"], seed=0)


def run(check: Check, tree: Path, shell: dict[str, str], adapter: Path) -> tuple[int, str]:
    if check not in _DONE:
        variables = dict(entry.split("=", 1) for entry in check.variables)
        if "INIT_ADAPTER" in variables:
            variables["INIT_ADAPTER"] = str(adapter)
        line = shlex.join(check.words).replace("'>'", ">")
        done = subprocess.run(
            ["bash", "-c", line],
            cwd=tree,
            env=shell | variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        _DONE[check] = done.returncode, done.stdout
    return _DONE[check]


@pytest.mark.parametrize("command", [command for command in COMMANDS if reason_not_run(command) is None], ids=str)
def test_a_documented_command_line_works_as_typed(
    command: Documented, tree: Path, shell: dict[str, str], adapter: Path
) -> None:
    check = check_of(command)
    status, output = run(check, tree, shell, adapter)
    assert status in check.status, output[-2000:]
    missing = [flag for flag in check.must_show if f"{flag} " not in output and f"{flag}," not in output]
    assert not missing, f"{command.page} shows {missing}, which {shlex.join(check.words)} does not list"


def test_every_reason_not_to_run_a_line_is_needed() -> None:
    lines = [" ".join((*command.variables, *command.words)) for command in COMMANDS]
    unused = [start for start in NOT_RUN if not any(line.startswith(start) for line in lines)]
    assert not unused


@pytest.mark.parametrize("line", ["python eval/run.py --no-such-flag x", "bash recipes/no_such_recipe.sh"])
def test_a_wrong_line_would_be_seen(line: str, tree: Path, shell: dict[str, str], adapter: Path) -> None:
    """Negative control."""
    words = tuple(shlex.split(line))
    with pytest.raises(AssertionError):
        test_a_documented_command_line_works_as_typed(Documented("x.md", line, (), words), tree, shell, adapter)


def test_without_an_environment_a_script_says_what_to_do(tree: Path, shell: dict[str, str]) -> None:
    bare = shell | {"VENV": str(tree / "no-such-venv")}
    done = subprocess.run(["python", "eval/run.py", "--help"], cwd=tree, env=bare, capture_output=True, text=True)
    assert done.returncode == 2
    assert "run bash recipes/setup_env.sh once" in done.stderr
    assert "Traceback" not in done.stderr
