"""The doctor as a whole: the recipes, the command, its exit status and its page."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from permix_verl.cli.main import run
from permix_verl.lab.base_model import MODEL
from permix_verl.preflight.doctor.checks import CHECKS, examine
from permix_verl.preflight.doctor.types import Check, Setup

from ...support.configs import config_of
from ..recipes.test_recipes import SAME_MODEL


@pytest.mark.parametrize("profile", ["cpu", "8xa5000"])
@pytest.mark.parametrize("script", ["run_permix_grpo.sh", "run_sft.sh"])
def test_the_recipes_are_in_good_health_but_for_this_machine(script: str, profile: str, tmp_path: Path) -> None:
    config = config_of(script, PROFILE=profile, RUN_DIR=str(tmp_path / "run"), **SAME_MODEL | {"MODEL": str(MODEL)})
    setup = Setup.of_run(config)
    wrong = {name for name, finding in examine(setup) if finding.severity == "error"}
    assert wrong == (set() if profile == "cpu" else {"torch-build", "gpus", "shared-memory", "logical-cpus"} & wrong)
    assert ("gpus" in wrong) == (profile != "cpu")


def test_a_check_that_breaks_keeps_nobody_from_a_run() -> None:
    def breaks(setup: Setup) -> Any:
        raise RuntimeError("oh")

    ((name, finding),) = examine(Setup(), [Check("broken", breaks)])
    assert (name, finding.severity) == ("broken", "warning")
    assert "the check itself failed (RuntimeError: oh)" in finding.text


def test_the_command_says_it_all_and_exits_by_the_worst(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert len({check.name for check in CHECKS}) == len(CHECKS)
    assert run(["doctor", "--json", "--model", str(MODEL)]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert {row["severity"] for row in rows} == {"ok"}
    assert run(["doctor", "--quiet", "--model", "/none"]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("error   model-files")
    assert run(["doctor", "--model", "a/b"]) == 1
    assert run(["nonsense"]) == 2
    assert "doctor" in capsys.readouterr().err
    assert run(["--help"]) == 0


def test_the_page_names_every_check_and_tests_that_are_there() -> None:
    root = Path(__file__).resolve().parents[3]
    page = (root / "docs" / "doctor.md").read_text()
    assert {check.name for check in CHECKS} <= set(re.findall(r"`([a-z-]+)`", page.split("## What verl")[0]))
    named = re.findall(r"`((?:fast|integration|e2e)/[\w/]*test_\w+\.py)`", page)
    assert len(named) > 30
    assert [name for name in named if not (root / "tests" / name).is_file()] == []
