"""Rows of runs that began before row ids had a version: prepared again as they were, so that the run resumes."""

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from permix_verl.cli import prep, prep_sft
from permix_verl.config.compose import RunConfig
from permix_verl.data.row_ids import ROW_IDS
from permix_verl.data.scan import BY_POSITION
from permix_verl.errors import UserError
from permix_verl.recipe.rows import rows_command
from permix_verl.runs.folder import RunFolder
from permix_verl.runs.settings import begin_run
from permix_verl.runs.trainers import TRAINERS
from permix_verl.utils.commands import PERMIX

from ...support.configs import config_of
from ...support.recorded_commands import unset_knobs

VERBS = {"prep": prep.main, "prep-sft": prep_sft.main}


def prepare(config: RunConfig, *more: str) -> list[str]:
    """Prepare a run's rows as the recipe does; return the command's arguments."""
    verb, *arguments = rows_command(config)[len(PERMIX) :]
    VERBS[verb]([*arguments, *more])
    return arguments


def begin(method: str, problems: Path, run_dir: Path, *ids: str, knobs: tuple[str, ...] = ()) -> RunConfig:
    """Begin a run on rows with these ids, and leave a checkpoint of its first step."""
    given = dict(text.split("=", 1) for text in knobs)
    config = config_of(method, DATA=str(problems), RUN_DIR=str(run_dir), VAL_PROBLEMS="5", **given)
    run = RunFolder(run_dir, TRAINERS[config.trainer])
    prepare(config, *ids)
    begin_run(run, config)
    checkpoint = run.checkpoints / "global_step_1"
    for file in ("actor/lora_train_meta.json", "lora_train_meta.json", "data.pt"):
        (checkpoint / file).parent.mkdir(parents=True, exist_ok=True)
        (checkpoint / file).touch()
    if run.trainer.torchrun:
        import torch

        (checkpoint / "model_world_size_1_rank_0.pt").touch()
        torch.save({}, checkpoint / "data_0.pt")
    run.tracker.write_text("1")
    return config


@pytest.fixture(autouse=True)
def _no_knobs(monkeypatch: pytest.MonkeyPatch) -> None:
    unset_knobs(monkeypatch)


@pytest.mark.parametrize("method", ["permix_grpo", "permix_sft"])
def test_a_begun_run_with_positional_ids_resumes_with_the_same_bytes(
    method: str, problem_file: Path, tmp_path: Path
) -> None:
    config = begin(method, problem_file, tmp_path / "run", "--row-ids", "position")
    run = RunFolder(tmp_path / "run", TRAINERS[config.trainer])
    manifest = json.loads((run.data / "manifest.json").read_text())
    assert manifest["row_ids"] == BY_POSITION
    info = pq.read_table(run.data / "train.parquet").to_pylist()[0]["extra_info"]
    assert info["row_id"] == "gsm8k/train/0"
    before = {file.name: file.read_bytes() for file in run.data.iterdir()}
    arguments = prepare(config)
    assert arguments[-2:] == ["--row-ids", "position"] or "--row-ids" in arguments
    begin_run(run, config)
    assert {file.name: file.read_bytes() for file in run.data.iterdir()} == before


def test_a_manifest_from_before_the_note_on_row_ids_is_one_of_positions(problem_file: Path, tmp_path: Path) -> None:
    config = begin("permix_grpo", problem_file, tmp_path / "run", "--row-ids", "position")
    file = tmp_path / "run" / "data" / "manifest.json"
    manifest: dict[str, Any] = json.loads(file.read_text())
    del manifest["row_ids"]
    file.write_text(json.dumps(manifest))
    assert "--row-ids" in rows_command(config)


def test_rows_with_other_ids_would_not_go_on(problem_file: Path, tmp_path: Path) -> None:
    """Negative control of the two above."""
    config = begin("permix_grpo", problem_file, tmp_path / "run", "--row-ids", "position")
    run = RunFolder(tmp_path / "run")
    prepare(config, "--row-ids", ROW_IDS)
    with pytest.raises(UserError, match=r"holds a run with training data="):
        begin_run(run, config)


def test_a_new_run_and_a_run_begun_with_content_ids_have_content_ids(problem_file: Path, tmp_path: Path) -> None:
    config = begin("permix_grpo", problem_file, tmp_path / "run")
    run = RunFolder(tmp_path / "run")
    assert "--row-ids" not in prepare(config)
    begin_run(run, config)
    assert json.loads((run.data / "manifest.json").read_text())["row_ids"] == ROW_IDS


def test_the_labs_problems_are_named_lab_in_new_runs_alone(tmp_path: Path) -> None:
    config = config_of("permix_grpo", LAB="1", RUN_DIR=str(tmp_path / "run"))
    command = rows_command(config)
    assert command[command.index("--data") + 1].endswith("lab-easy-584.jsonl,name=lab")
    held_out = rows_command(config_of("permix_sft", LAB="1", RUN_DIR=str(tmp_path / "sft")))
    assert held_out[held_out.index("--val-data") + 1].endswith(",name=lab")
    (tmp_path / "run" / "data").mkdir(parents=True)
    (tmp_path / "run" / "data" / "manifest.json").write_text('{"row_ids": "place in the source"}')
    command = rows_command(config)
    assert command[command.index("--data") + 1].endswith("lab-easy-584.jsonl")


def test_the_knob_data_takes_several_sources(tmp_path: Path) -> None:
    data = "gsm8k,weight=2;mine.csv,name=mine,question-field=task,answer-field=result"
    for method in ("permix_grpo", "sft"):
        config = config_of(method, DATA=data, RUN_DIR=str(tmp_path / "run"))
        assert config["permix.data"] == data
        command = rows_command(config)
        assert command[command.index("--data") + 1] == data
