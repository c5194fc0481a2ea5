"""Training files of one's own without personas: checked before a launch, recorded, and compared on resume."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from permix_verl import UserError, load_pool
from permix_verl.config.compose import RunConfig
from permix_verl.preflight.doctor.data import prepared_rows
from permix_verl.preflight.doctor.types import Setup
from permix_verl.runs import own_mix
from permix_verl.runs.folder import RunFolder
from permix_verl.runs.own_files import check_own_files
from permix_verl.runs.own_rows import OwnRows
from permix_verl.runs.persona_validation import read_validation_personas
from permix_verl.runs.settings import begin_run
from permix_verl.runs.steps import total_steps

from ...support.configs import bare_of
from ...support.verl_rows import dapo, deepscaler, openr1, write_lines, write_parquet

POOL = {"data.permix.pool": "train", "data.permix.seed": 0}


def config(train: Any, val: Any = None, **more: Any) -> RunConfig:
    """A configuration that mixes; ``permix__KEY`` is ``data.permix.KEY``."""
    files = {"data.train_files": train if isinstance(train, list) else str(train)}
    files |= {"data.val_files": str(val)} if val else {}
    given = {name.replace("permix__", "data.permix."): value for name, value in more.items()}
    return bare_of({**files, "data.train_batch_size": 4, "data.epochs": 2, **POOL, **given})


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    folder = RunFolder(tmp_path / "run")
    folder.checkpoints.mkdir(parents=True)
    return folder


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    return write_parquet(tmp_path / "mine.parquet", [dapo(number) for number in range(10)])


def save_a_checkpoint(run: RunFolder) -> None:
    path = run.checkpoints / "global_step_1"
    (path / "actor").mkdir(parents=True)
    (path / "actor" / "lora_train_meta.json").touch()
    (path / "data.pt").touch()
    run.tracker.write_text("1")


def test_such_files_are_accepted_and_the_run_claims_their_personas(run: RunFolder, rows: Path) -> None:
    val = write_parquet(rows.parent / "val.parquet", [dapo(number) for number in range(20, 24)])
    begin_run(run, config(rows, val, permix__dev_personas="chef,pilot"))
    record = json.loads(run.settings.read_text())["own_files"]
    assert record["train"]["personas"] == sorted(set(load_pool("train").keys) - {"chef", "pilot"})
    assert record["train"]["mix"]["pool_sha256"] == load_pool("train").sha256()
    assert record["val"]["personas"] == []
    personas = read_validation_personas(run.data)
    assert (personas.trained, personas.personas) == (True, frozenset())
    assert total_steps(config(rows)) == 5, "two epochs, without a draw in the metadata"
    with pytest.raises(UserError, match="has no persona draw in the metadata"):
        total_steps(bare_of({"data.train_files": str(rows), "data.train_batch_size": 4, "data.epochs": 2}))


def test_without_personas_the_rows_are_plain(run: RunFolder, tmp_path: Path) -> None:
    file = write_parquet(tmp_path / "own.parquet", [openr1(number) for number in range(10)])
    begin_run(run, config(file, permix__no_persona_probability=1.0))
    assert json.loads(run.settings.read_text())["own_files"]["train"]["personas"] == ["no_persona"]
    assert read_validation_personas(run.data).trained is False or not run.data.exists()
    with pytest.raises(UserError, match=r"10 of 10 rows have a system message of their own, first data.train_files"):
        begin_run(run, config(file))
    begin_run(run, config(file, permix__system_message="append"))


def test_bad_rows_are_refused_before_the_launch(run: RunFolder, rows: Path, tmp_path: Path) -> None:
    def refusal(*files: Path, **settings: Any) -> str:
        with pytest.raises(UserError) as refused:
            begin_run(run, config([str(file) for file in files], **settings))
        assert not run.settings.exists()
        return str(refused.value)

    clash = write_lines(tmp_path / "clash.jsonl", [{**dapo(7), "extra_info": dapo(2)["extra_info"]}])
    assert "for two problems: " in refusal(rows, clash)
    assert "clash.jsonl, row 0 (" in refusal(rows, clash)
    text = write_lines(tmp_path / "text.jsonl", [{**dapo(7), "prompt": "1 + 1 = ?"}])
    assert "text.jsonl, row 0: 'prompt' is the text '1 + 1 = ?'" in refusal(text)
    persona = write_lines(tmp_path / "persona.jsonl", [{**dapo(7), "extra_info": {"persona": "chef"}}])
    assert "persona.jsonl, row 0 has extra_info.persona='chef' already" in refusal(rows, persona)
    assert "no persona pool 'nope'" in refusal(rows, permix__pool="nope")
    assert "data.permix.sed is no setting of mixing" in refusal(rows, permix__sed=1)
    assert "has no rows" in refusal(rows, write_lines(tmp_path / "empty.jsonl", []))
    assert "no such data file" in refusal(tmp_path / "none.parquet")


def test_a_mix_needs_training_files_of_its_own(run: RunFolder, rows: Path) -> None:
    with pytest.raises(UserError, match=r"data.permix is set, but the training rows are those that the run prepares"):
        begin_run(run, config(run.data / "train.parquet", rows))
    with pytest.raises(UserError, match=r"data.val_files are the training files.*hold rows out"):
        begin_run(run, config(rows, rows))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"permix__seed": 1}, "holds a run with data.permix.seed=0, but this command has data.permix.seed=1"),
        ({"permix__system_message": "append"}, "data.permix.system_message=None, .* data.permix.system_message=append"),
        ({"permix__no_persona_probability": 0.5}, "data.permix.no_persona_probability=None, "),
        ({"permix__id_field": "content"}, "data.permix.id_field=None, "),
        ({"permix__dev_personas": "3"}, "data.permix.dev_personas=None, "),
    ],
)
def test_a_run_does_not_go_on_with_another_mix(
    run: RunFolder, rows: Path, change: dict[str, Any], message: str
) -> None:
    begin_run(run, config(rows))
    save_a_checkpoint(run)
    begin_run(run, config(rows))
    with pytest.raises(UserError, match=message):
        begin_run(run, config(rows, **change))


def test_a_pool_is_compared_by_its_personas_and_not_by_its_place(run: RunFolder, rows: Path, tmp_path: Path) -> None:
    pool = tmp_path / "pool.jsonl"
    pool.write_text("".join(json.dumps({"key": key, "system_prompt": f"You are {key}."}) + "\n" for key in "abc"))
    begin_run(run, config(rows, permix__pool=str(pool)))
    save_a_checkpoint(run)
    begin_run(run, config(rows, permix__pool=str(pool.rename(tmp_path / "pool2.jsonl"))))
    (tmp_path / "pool2.jsonl").write_text(json.dumps({"key": "a", "system_prompt": "You are a."}) + "\n")
    with pytest.raises(UserError, match=r"with data.permix.pool=3 personas of .*data.permix.pool=1 personas of "):
        begin_run(run, config(rows, permix__pool=str(tmp_path / "pool2.jsonl")))


def test_the_doctor_says_what_becomes_of_them(tmp_path: Path, rows: Path) -> None:
    def finding(settings: RunConfig) -> tuple[str, str]:
        (found,) = prepared_rows(Setup(run_dir=tmp_path / "run", config=settings))
        return found.severity, found.text

    assert finding(config(rows)) == (
        "ok",
        "10 train rows in the user's own files, personas of pool train are mixed in as they load",
    )
    twice = write_parquet(tmp_path / "twice.parquet", [dapo(number % 3) for number in range(9)])
    assert "6 of 9 rows repeat one of 3 problems" in finding(config(twice))[1]
    own = write_parquet(tmp_path / "own.parquet", [openr1(0)])
    assert finding(config(own))[0] == "error"
    severity, text = finding(bare_of({"data.val_files": str(rows)}))
    assert (severity, "10 val rows in the user's own files, without personas: validated as they are" in text) == (
        "ok",
        True,
    )


def test_files_are_scanned_once_as_long_as_they_stay(
    rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: Counter[str] = Counter()
    original = own_mix._rows

    def counted(file: str, *rest: Any) -> Any:
        reads[file] += 1
        return original(file, *rest)

    monkeypatch.setattr(own_mix, "_rows", counted)
    for _ in range(3):
        assert check_own_files(config(rows), tmp_path / "run", "grpo") == {
            "train": OwnRows(10, mix=own_mix.mix_of(config(rows)))
        }
    assert reads[str(rows)] == 1
    write_parquet(rows, [deepscaler(number) for number in range(4)])
    assert check_own_files(config(rows), tmp_path / "run", "grpo")["train"].rows == 4
