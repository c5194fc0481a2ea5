"""The exit of commands: errors of the user's, closed pipes, bugs."""

import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from permix_verl.errors import UserError

LOG = Path(__file__).resolve().parents[2] / "data" / "logs" / "ray_task_error.log"
MAIN = "from permix_verl.errors import *\n"


def run(code: str, pipe: str = "") -> subprocess.CompletedProcess[str]:
    command = f"'{sys.executable}' -c '{MAIN}{code}'{pipe}"
    return subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True)


def test_a_user_error_has_a_problem_and_a_remedy() -> None:
    error = UserError("--runs is 0", "give 1 or more")
    assert (error.problem, error.remedy, str(error)) == ("--runs is 0", "give 1 or more", "--runs is 0; give 1 or more")
    assert str(error.at("a.json, line 3")) == "a.json, line 3: --runs is 0; give 1 or more"
    assert str(UserError("alone")) == "alone"
    copy = pickle.loads(pickle.dumps(error))  # Ray and process pools do so
    assert (copy.problem, copy.remedy) == (error.problem, error.remedy)


def test_it_ends_a_command_with_one_line_and_status_2() -> None:
    done = run('def main(): raise UserError("a", "b")\nexit_with_message(main)')
    assert (done.returncode, done.stdout, done.stderr) == (2, "", "error: a; b\n")


@pytest.mark.parametrize("text", ['"x"', '"x" * 10**7'])
def test_a_reader_that_closes_the_pipe_is_no_failure(text: str) -> None:
    done = run(f"import time\ndef main():\n  time.sleep(0.5)\n  print({text})\nexit_with_message(main)", " | true")
    assert (done.returncode, done.stderr) == (0, "")


def test_a_broken_pipe_elsewhere_is_a_bug_and_keeps_its_traceback() -> None:
    done = run('def main(): raise BrokenPipeError("of a worker")\nexit_with_message(main)')
    assert done.returncode == 1
    assert "BrokenPipeError: of a worker" in done.stderr


def test_the_explanation_of_a_log_can_be_piped_to_head() -> None:
    command = f"'{sys.executable}' -m permix_verl.cli.main doctor --explain '{LOG}' | true"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
