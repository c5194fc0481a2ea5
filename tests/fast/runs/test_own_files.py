"""Data files that a user names instead of the prepared ones: refused before verl starts, or trained on."""

import json
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from permix_verl import UserError, load_pool
from permix_verl.config.compose import RunConfig
from permix_verl.config.quoting import quote_value
from permix_verl.data.problems import Problem
from permix_verl.data.schema import arrow_schema, make_row
from permix_verl.personas.mixing import PersonaDraw
from permix_verl.preflight.doctor.data import prepared_rows
from permix_verl.preflight.doctor.types import Setup
from permix_verl.runs.folder import RunFolder
from permix_verl.runs.own_files import check_own_files
from permix_verl.runs.persona_validation import ValidationPersonas, persona_validation, read_validation_personas
from permix_verl.runs.settings import begin_run
from permix_verl.runs.steps import total_steps

from ...support.configs import bare, bare_of

POOL = load_pool("train")
VERL = {
    "data_source": "openai/gsm8k",
    "prompt": [{"role": "user", "content": "1 + 1 = ?"}],
    "ability": "math",
    "reward_model": {"style": "rule", "ground_truth": "2"},
    "extra_info": {"split": "train", "index": 0, "question": "1 + 1 = ?", "answer": "#### 2"},
}
"""A row as verl's own data preparation writes it."""


def ours(number: int, persona: str | None = None, source: str = "mine") -> dict[str, Any]:
    problem = Problem(f"mine/train/{number}", f"{number} + 1 = ?", f"#### {number + 1}", str(number + 1))
    chosen = POOL.get(persona) if persona else None
    return make_row(problem, chosen, split="train", index=number, epoch=0, data_source=source)


def parquet(file: Path, rows: list[dict[str, Any]], draw: PersonaDraw | None = None) -> Path:
    table = (
        pa.Table.from_pylist(rows, schema=arrow_schema(draw)) if rows and "row_id" in rows[0]["extra_info"] else None
    )
    pq.write_table(pa.Table.from_pylist(rows or [VERL])[: len(rows)] if table is None else table, file)
    return file


def lines(file: Path, rows: list[dict[str, Any]]) -> Path:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    """A run for which PerMix-RLVR's data were prepared."""
    folder = RunFolder(tmp_path / "run")
    for path in (folder.new_data, folder.checkpoints):
        path.mkdir(parents=True)
    draw = PersonaDraw(POOL, seed=0, dev_personas=("pilot",))
    parquet(folder.new_data / "train.parquet", [ours(0, "chef")], draw)
    parquet(folder.new_data / "val.parquet", [ours(0, "chef", "gsm8k/chef"), ours(0, "pilot", "gsm8k/pilot")])
    manifest = {"no_persona_probability": 0.0, "dev_personas": ["pilot"], "rows": {"val_problems": 1}}
    (folder.new_data / "manifest.json").write_text(json.dumps(manifest))
    return folder


def config(run: RunFolder, train: str, val: str | None = None, *more: str) -> RunConfig:
    files = [train if train.startswith("[") else quote_value(train), quote_value(val or str(run.data / "val.parquet"))]
    given = [f"data.train_files={files[0]}", f"data.val_files={files[1]}", "data.custom_cls.name=PersonaMixDataset"]
    return bare(*given, "data.train_batch_size=2", "+data.epochs=1", *more)


def refusal(run: RunFolder, train: object, val: str | None = None) -> str:
    began = time.monotonic()
    with pytest.raises(UserError) as refused:
        begin_run(run, config(run, str(train), val))
    assert time.monotonic() - began < 5
    assert not run.settings.exists(), "nothing was begun"
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_rows_of_verls_schema_are_refused_with_what_they_lack(run: RunFolder, tmp_path: Path) -> None:
    said = refusal(run, parquet(tmp_path / "verl.parquet", [VERL] * 3))
    assert "verl.parquet, row 0: 'extra_info.persona' is missing, and verl's schema alone has no personas" in said
    assert "leave data.train_files unset and set DATA to a file of question and answer" in said


def test_rows_that_lack_it_far_behind_are_refused_too(run: RunFolder, tmp_path: Path) -> None:
    rows = [ours(number, "chef") for number in range(1500)]
    rows[1400]["extra_info"]["persona"] = None
    assert "'extra_info.persona' is missing in some rows" in refusal(run, parquet(tmp_path / "x.parquet", rows))


def test_problems_are_no_rows(run: RunFolder, tmp_path: Path) -> None:
    said = refusal(run, lines(tmp_path / "train.jsonl", [{"question": "1 + 1 = ?", "answer": "#### 2"}]))
    assert "has no 'data_source', but 'question', 'answer'" in said
    assert "as DATA" in said


def test_a_run_that_trains_under_personas_refuses_rows_without_any(run: RunFolder, tmp_path: Path) -> None:
    file = parquet(tmp_path / "none.parquet", [ours(0), ours(1)])
    said = refusal(run, file)
    assert "none of the 2 rows has a persona, but this recipe trains with personas" in said
    # The same rows are plain RLVR's, and no figure of that run is about personas that were trained on.
    (run.new_data / "manifest.json").write_text(json.dumps({"no_persona_probability": 1.0}))
    begin_run(run, config(run, str(file)))
    assert read_validation_personas(run.data).label == "no persona was trained on"
    (run.data / "manifest.json").write_text(json.dumps({"no_persona_probability": 1.0}))
    with pytest.raises(UserError, match="1 of 1 rows have a persona, but this recipe trains without personas"):
        begin_run(run, config(run, str(parquet(tmp_path / "some.parquet", [ours(0, "chef")]))))


def test_rows_of_personas_that_are_held_out_are_refused(run: RunFolder, tmp_path: Path) -> None:
    file = parquet(tmp_path / "leak.parquet", [ours(0, "chef"), ours(1, "pilot")])
    assert "its rows have pilot, held out of training by DEV_PERSONAS" in refusal(run, file)


@pytest.mark.parametrize("ending", ["parquet", "jsonl", "json"])
def test_rows_of_ones_own_are_counted_and_their_personas_named(run: RunFolder, tmp_path: Path, ending: str) -> None:
    rows = [ours(number, "chef") for number in range(5)]
    file = tmp_path / f"mine.{ending}"
    if ending == "parquet":
        parquet(file, rows)
    elif ending == "jsonl":
        lines(file, rows)
    else:
        file.write_text(json.dumps(rows))
    begin_run(run, config(run, str(file)))
    assert total_steps(config(run, str(file))) == 2
    arms = read_validation_personas(run.data)
    assert arms.held_out == {"pilot"}
    assert arms.label == "1 personas held out of training"


def test_a_list_of_files_is_one_data_set(run: RunFolder, tmp_path: Path) -> None:
    one = parquet(tmp_path / "one.parquet", [ours(number, "chef") for number in range(3)])
    two = lines(tmp_path / "two, with a comma.jsonl", [ours(number, "zen master") for number in range(5)])
    for both in (f"['{one}','{two}']", f'["{one}","{two}"]'):
        begin_run(run, config(run, both))
        assert total_steps(config(run, both)) == 4
    assert json.loads(run.settings.read_text())["own_files"]["train"]["personas"] == ["chef", "zen master"]
    with pytest.raises(UserError, match=r"one.parquet,.* have no persona draw in the metadata.*set EPOCHS=1"):
        total_steps(config(run, both, None, "data.epochs=2"))


def test_what_cannot_be_read_is_named(run: RunFolder, tmp_path: Path) -> None:
    assert "no such data file: /nowhere/train.parquet" in refusal(run, "/nowhere/train.parquet")
    good = parquet(tmp_path / "good.parquet", [ours(0, "chef")])
    assert "no such data file: /nowhere/b.parquet" in refusal(run, f"[{good},/nowhere/b.parquet]")
    assert f"name its files: [{tmp_path}/good.parquet]" in refusal(run, tmp_path)
    assert "has no rows" in refusal(run, parquet(tmp_path / "empty.parquet", []))
    assert "has no rows" in refusal(run, lines(tmp_path / "empty.jsonl", []))
    (tmp_path / "text.parquet").write_text("hello")
    assert "is not a parquet file" in refusal(run, tmp_path / "text.parquet")
    assert "has the suffix '.csv', but verl reads .parquet" in refusal(run, lines(tmp_path / "x.csv", [VERL]))
    with pytest.raises(UserError, match="is not a Hydra override"):
        config(run, "[a.parquet,")
    assert "names no file" in refusal(run, "[]")
    bad = lines(tmp_path / "bad.jsonl", [ours(0, "chef")])
    bad.write_text(bad.read_text() + "{")
    assert "line 2: not JSON" in refusal(run, bad)
    # Validation files are read by the same class.
    half = [ours(0, "chef"), ours(1)]
    half[1]["extra_info"]["persona"] = None
    assert "data.val_files" in refusal(run, good, str(parquet(tmp_path / "val.parquet", half)))


def test_other_rows_under_the_same_name_do_not_go_on(run: RunFolder, tmp_path: Path) -> None:
    file = parquet(tmp_path / "mine.parquet", [ours(number, "chef") for number in range(4)])
    begin_run(run, config(run, str(file)))
    path = run.checkpoints / "global_step_1"
    (path / "actor").mkdir(parents=True)
    (path / "actor" / "lora_train_meta.json").touch()
    (path / "data.pt").touch()
    run.tracker.write_text("1")
    begin_run(run, config(run, str(file)))
    parquet(file, [ours(number, "chef") for number in range(4, 8)])
    with pytest.raises(UserError, match="holds a run with data files="):
        begin_run(run, config(run, str(file)))


def test_a_curve_of_no_persona_is_no_personas(run: RunFolder, tmp_path: Path) -> None:
    """verl names its own GSM8K rows openai/gsm8k: a curve named gsm8k, and no persona of that name."""
    row = ours(0, source="openai/gsm8k")
    train = parquet(tmp_path / "mine.parquet", [ours(0, "chef")])
    begin_run(run, config(run, str(train), str(parquet(tmp_path / "val.parquet", [row]))))
    values = {"val-core/openai/gsm8k/acc/mean@1": 0.5}
    assert persona_validation(0, values, read_validation_personas(run.data)) is None
    assert persona_validation(0, values, ValidationPersonas()) is not None, "of prepared data every curve counts"


def test_a_class_of_ones_own_reads_what_it_likes(run: RunFolder, tmp_path: Path) -> None:
    file = parquet(tmp_path / "verl.parquet", [VERL] * 3)
    begin_run(run, config(run, str(file), None, "data.custom_cls.name=Mine"))


def test_prepared_files_are_not_the_users(run: RunFolder) -> None:
    assert check_own_files(config(run, str(run.data / "train.parquet")), run.path, "grpo") == {}
    begin_run(run, config(run, str(run.data / "train.parquet")))
    assert json.loads(run.settings.read_text())["own_files"] == {}


@pytest.mark.parametrize(
    ("rows", "severity", "text"),
    [
        ([VERL], "error", "'extra_info.persona' is missing"),
        ([ours(0)], "warning", "1 train rows in the user's own files, 0 of them with a persona"),
        ([ours(0, "chef")], "ok", "1 train rows in the user's own files, 1 of them with a persona"),
    ],
)
def test_the_doctor_says_it_before_anything_is_prepared(
    tmp_path: Path, rows: list[dict[str, Any]], severity: str, text: str
) -> None:
    named = bare_of({"data.train_files": str(parquet(tmp_path / "x.parquet", rows))})
    (found,) = prepared_rows(Setup(run_dir=tmp_path / "run", config=named))
    assert (found.severity, text in found.text) == (severity, True)


def test_supervised_files_of_ones_own(tmp_path: Path) -> None:
    def check(train: object) -> None:
        check_own_files({"data.train_files": train if isinstance(train, list) else str(train)}, tmp_path, "sft")

    one = parquet(tmp_path / "rl.parquet", [ours(0, "chef")])
    with pytest.raises(UserError, match=r"names 2 files, but SFT takes one"):
        check([str(one), str(one)])
    with pytest.raises(UserError, match=r"has no column 'messages'.*gsm8k_sft.py"):
        check(one)
    with pytest.raises(UserError, match=r"is not a parquet file; write it with data_prep/gsm8k_sft.py"):
        check(lines(tmp_path / "x.jsonl", [VERL]))
    good, bare = tmp_path / "sft.parquet", tmp_path / "bare.parquet"
    chat = {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}
    row = {**{name: value for name, value in ours(0).items() if name != "prompt"}, **chat}
    for file, draw in ((good, PersonaDraw(POOL, seed=0)), (bare, None)):
        pq.write_table(pa.Table.from_pylist([row], schema=arrow_schema(draw, "messages")), file)
    check(good)
    with pytest.raises(UserError, match=r"has no persona draw in the metadata"):
        check(bare)
