"""The table of versions: its page is the results', and a changed outcome is seen."""

import copy
from pathlib import Path

import pytest
import yaml

from .. import versions

ROOT = Path(__file__).resolve().parents[2]


def test_the_page_is_made_from_the_results() -> None:
    assert versions.PAGE.read_text() == versions.page_with_table()


def test_every_result_is_a_cells() -> None:
    assert set(versions.results()) <= {cell["name"] for cell in versions.cells()[1]}


def test_a_changed_outcome_is_listed_and_seconds_are_not() -> None:
    stages = [{"stage": "doctor", "status": 1, "seconds": 6, "said": ["error x"]}]
    before: dict[str, versions.Row] = {"a": {"name": "a", "installed": "forced", "stages": stages}}
    now = copy.deepcopy(before)
    now["a"]["stages"][0]["seconds"] = 60
    assert versions.changes(before, now) == []
    now["a"]["stages"][0]["status"] = 0
    assert versions.changes(before, now) == ["a: works, with a warning, and was: refused by the doctor"]
    assert versions.changes({}, before) == ["a: refused by the doctor, and was: not run"]


def test_a_stage_that_is_run_alone_joins_the_stored_ones() -> None:
    stored = {"name": "a", "installed": "within", "stages": [{"stage": name} for name in ("doctor", "fast", "train")]}
    alone = {"name": "a", "installed": "within", "stages": [{"stage": "fast", "status": 1}]}
    joined = versions.with_earlier_stages(alone, stored)
    assert [stage["stage"] for stage in joined["stages"]] == ["doctor", "fast", "train"]
    assert joined["stages"][1]["status"] == 1
    assert versions.with_earlier_stages(alone, None) == alone


def test_an_unknown_cell_is_one_clear_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert versions.main(["--only", "vLLM 9"]) == 2
    assert "unknown cell 'vLLM 9'; known: the pinned set, verl 0.9.0" in capsys.readouterr().err


def test_the_weekly_job_gives_a_command_that_exists(capsys: pytest.CaptureFixture[str]) -> None:
    job = yaml.safe_load((ROOT / ".github" / "workflows" / "versions.yml").read_text())["jobs"]["versions"]
    (command,) = [step["run"] for step in job["steps"] if "run" in step]
    assert command.startswith("python tests/versions.py --compare ")
    with pytest.raises(SystemExit):
        versions.main(["--help"])
    assert "--compare" in capsys.readouterr().out
