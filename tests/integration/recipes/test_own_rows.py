"""The GRPO recipes on rows of one's own: personas are mixed in where there are none, and nothing changes elsewhere."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from permix_verl import UserError
from permix_verl.cli import mix
from permix_verl.recipe import rows as rows_module
from permix_verl.recipe import run as run_module
from permix_verl.runs.settings import begin_run
from permix_verl.training.launch_settings import LaunchSettings

from ...support.configs import config_of, overrides_of
from ...support.verl_rows import dapo, deepscaler, openr1, write_lines, write_parquet

LAB = {"PROFILE": "cpu"}


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    return [
        write_parquet(tmp_path / "a.parquet", [deepscaler(number) for number in range(8)]),
        write_lines(tmp_path / "b, with a comma.jsonl", [dapo(number) for number in range(8)]),
    ]


def named(files: Sequence[Path], key: str = "train") -> str:
    return f"data.{key}_files=[{','.join(repr(str(file)) for file in files)}]"


def mix_of(lines: Sequence[str]) -> list[str]:
    return [line for line in lines if "data.permix" in line]


def test_the_recipes_personas_are_mixed_into_rows_without_any(files: list[Path]) -> None:
    lines = overrides_of("permix_grpo", named(files), **LAB, SEED="3", DEV_PERSONAS="2", NO_PERSONA_PROB="0.1")
    assert mix_of(lines) == [
        "+data.permix.pool=train",
        "+data.permix.seed=3",
        "+data.permix.no_persona_probability=0.1",
        "+data.permix.dev_personas='2'",
    ]
    assert mix_of(overrides_of("rlvr_grpo", named(files), **LAB))[2] == "+data.permix.no_persona_probability=1.0"


def test_a_pool_of_ones_own_has_a_path_for_every_process(files: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    folder = files[0].parent
    (folder / "pool.jsonl").write_text(json.dumps({"key": "a", "system_prompt": "You are a."}) + "\n")
    monkeypatch.chdir(folder)
    config = config_of("permix_grpo", named(files), **LAB, PERSONAS="pool.jsonl")
    assert config["data.permix.pool"] == str((folder / "pool.jsonl").resolve())


def test_what_the_user_sets_wins(files: list[Path]) -> None:
    given = ["+data.permix.system_message=append", "+data.permix.seed=7"]
    config = config_of("permix_grpo", named(files), *given, **LAB)
    assert config["data.permix.system_message"] == "append"
    assert config["data.permix.seed"] == 7
    assert config["data.permix.pool"] == "train"


@pytest.mark.parametrize("method", ["permix_grpo", "rlvr_grpo"])
def test_other_runs_have_no_such_keys(method: str, files: list[Path]) -> None:
    there = files[0].parent / "mixed"
    mix.main(["--in", str(files[0]), "--out", str(there)])
    for given in ([], [named([there / "a.parquet"])], [named(files, "val")], [named([there / "none.parquet"])]):
        assert "data.permix" not in config_of(method, *given, **LAB)
    assert "data.permix" not in config_of(method, named(files), "data.custom_cls.name=Mine", **LAB)


def test_a_run_begins_and_does_not_go_on_with_another_seed_or_policy(files: list[Path], tmp_path: Path) -> None:
    def begin(*more: str, method: str = "permix_grpo", **knobs: str) -> None:
        config = config_of(method, named(files), *more, **{**LAB, "RUN_DIR": str(tmp_path / "run"), **knobs})
        folder = LaunchSettings(config).folder
        folder.checkpoints.mkdir(parents=True, exist_ok=True)
        begin_run(folder, config)

    begin()
    path = tmp_path / "run" / "checkpoints" / "global_step_1"
    (path / "actor").mkdir(parents=True)
    (path / "actor" / "lora_train_meta.json").touch()
    (path / "data.pt").touch()
    (tmp_path / "run" / "checkpoints" / "latest_checkpointed_iteration.txt").write_text("1")
    begin()
    with pytest.raises(UserError, match=r"data.permix.seed=0, but this command has data.permix.seed=1"):
        begin(SEED="1")
    with pytest.raises(UserError, match=r"data.permix.system_message=None, but .* data.permix.system_message=append"):
        begin("+data.permix.system_message=append")
    with pytest.raises(UserError, match=r"data.permix.no_persona_probability=0"):
        begin(method="rlvr_grpo")
    pool = tmp_path / "pool.jsonl"
    pool.write_text(json.dumps({"key": "a", "system_prompt": "You are a."}) + "\n")
    with pytest.raises(UserError, match=r"data.permix.pool=25 personas of .* data.permix.pool=1 personas of"):
        begin(PERSONAS=str(pool))


def test_own_system_messages_are_refused_with_the_choices(files: list[Path], tmp_path: Path) -> None:
    own = write_parquet(tmp_path / "own.parquet", [openr1(number) for number in range(8)])
    config = config_of("permix_grpo", named([*files, own]), **LAB, RUN_DIR=str(tmp_path / "run"))
    with pytest.raises(UserError, match=r"8 of 24 rows have a system message of their own.*data.permix.system_message"):
        begin_run(LaunchSettings(config).folder, config)
    plain = config_of("rlvr_grpo", named([*files, own]), **LAB, RUN_DIR=str(tmp_path / "rlvr"))
    LaunchSettings(plain).folder.path.mkdir()
    begin_run(LaunchSettings(plain).folder, plain)


def test_nothing_is_prepared_where_all_files_are_named(
    files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[list[str]] = []

    def record(command: Sequence[str], environment: Mapping[str, str] | None = None) -> int:
        calls.append(list(command))
        return 0

    monkeypatch.setattr(rows_module, "run_command", record)
    monkeypatch.setattr(run_module, "launch", lambda _: 0)
    for more, verbs in (([named(files, "val")], []), ([], ["lab-problems", "prep"])):
        calls.clear()
        config = config_of("permix_grpo", named(files), *more, **LAB, RUN_DIR=str(tmp_path / "run"))
        assert run_module.run(config, ask_doctor=False) == 0
        assert [call[3] for call in calls] == verbs


def test_rows_with_personas_follow_the_recipes_condition_without_prepared_data(
    tmp_path: Path, files: list[Path]
) -> None:
    mix.main(["--in", str(files[0]), "--out", str(tmp_path / "mixed")])
    there = [named([tmp_path / "mixed" / "a.parquet"]), named(files, "val")]

    def begin(method: str, **knobs: str) -> Any:
        config = config_of(method, *there, **LAB, RUN_DIR=str(tmp_path / method), **knobs)
        LaunchSettings(config).folder.path.mkdir(exist_ok=True)
        begin_run(LaunchSettings(config).folder, config)

    begin("permix_grpo")
    with pytest.raises(UserError, match="8 of 8 rows have a persona, but this recipe trains without personas"):
        begin("rlvr_grpo")
    with pytest.raises(UserError, match="held out of training by DEV_PERSONAS"):
        begin("permix_grpo", DEV_PERSONAS="20")


def test_validation_rows_from_elsewhere_are_said(
    files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    commands: list[Sequence[str]] = []
    monkeypatch.setattr(rows_module, "_run", commands.append)
    folder = str(tmp_path / "run")
    assert rows_module.prepare_rows(config_of("permix_grpo", named(files), **LAB, RUN_DIR=folder, DATA="mine.csv"))
    said = "validation: held-out problems of DATA=mine.csv; data.val_files=FILE names rows of yours\n"
    assert capsys.readouterr().out == said
    assert [command[command.index("--data") + 1] for command in commands] == ["mine.csv"]
    assert rows_module.prepare_rows(config_of("permix_grpo", **LAB, RUN_DIR=folder, DATA="mine.csv"))
    assert not capsys.readouterr().out
