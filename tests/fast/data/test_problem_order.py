"""Problems in another order: other data where row ids are positions, the same rows where they are not."""

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from permix_verl.cli import prep as gsm8k_persona
from permix_verl.cli import prep_sft as gsm8k_sft
from permix_verl.data.row_ids import ROW_IDS, ROW_IDS_METADATA
from permix_verl.errors import UserError
from permix_verl.runs.folder import RunFolder
from permix_verl.runs.settings import begin_run

from ...support.configs import bare

SAID = "was made of the same 60 problems in another order; these data have other personas for its rows and another"


@pytest.fixture
def reordered(problem_file: Path) -> Path:
    file = problem_file.with_name("reordered.jsonl")
    file.write_text("".join(reversed(problem_file.read_text().splitlines(keepends=True))))
    return file


POSITION = ("--row-ids", "position")


def prepare(source: Path, tokenizer: Path, out: Path, *flags: str, ids: tuple[str, ...] = POSITION) -> None:
    given = ["--data", str(source), "--tokenizer", str(tokenizer), "--out", str(out), "--val-problems", "5"]
    gsm8k_persona.main([*given, *ids, *flags])


def rows(folder: Path, split: str) -> list[dict[str, Any]]:
    return pq.read_table(folder / f"{split}.parquet").to_pylist()  # type: ignore[no-any-return]


def test_a_reordered_source_gives_every_problem_the_same_persona_and_holds_out_the_same(
    problem_file: Path, reordered: Path, tokenizer_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prepare(problem_file, tokenizer_folder, tmp_path / "data" / "one", ids=())
    prepare(reordered, tokenizer_folder, tmp_path / "data" / "two", ids=())
    assert "another order" not in capsys.readouterr().err
    for split in ("train", "val"):
        one, two = (
            {
                (row["extra_info"]["question"], row["extra_info"]["row_id"], str(row["prompt"]))
                for row in rows(out, split)
            }
            for out in (tmp_path / "data" / "one", tmp_path / "data" / "two")
        )
        assert one == two
    assert len(rows(tmp_path / "data" / "one", "train")) == 55


def test_positions_give_a_reordered_source_other_personas(
    problem_file: Path, reordered: Path, tokenizer_folder: Path, tmp_path: Path
) -> None:
    """Negative control of the test above."""
    drawn = []
    for source in (problem_file, reordered):
        prepare(source, tokenizer_folder, tmp_path / source.stem)
        infos = [row["extra_info"] for row in rows(tmp_path / source.stem, "train")]
        drawn.append({(info["question"], info["persona"]) for info in infos})
    assert len(drawn[0] & drawn[1]) < 20


def test_another_order_in_the_same_folder_is_said(
    problem_file: Path, reordered: Path, tokenizer_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "data" / "permix"
    prepare(problem_file, tokenizer_folder, out)
    prepare(problem_file, tokenizer_folder, out, "--seed", "1")
    assert "another order" not in capsys.readouterr().err
    prepare(reordered, tokenizer_folder, out)
    assert f"{out} {SAID}" in capsys.readouterr().err


@pytest.mark.parametrize("layout", ["data/{}", "runs/{}/data"])
def test_arms_that_are_prepared_side_by_side_from_two_orders_are_told_apart(
    problem_file: Path,
    reordered: Path,
    tokenizer_folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    layout: str,
) -> None:
    permix, plain, rlvr, sft = (tmp_path / layout.format(arm) for arm in ("permix", "plain", "rlvr", "sft"))
    prepare(problem_file, tokenizer_folder, permix)
    prepare(problem_file, tokenizer_folder, plain, "--no-persona")
    assert "another order" not in capsys.readouterr().err, "the same file"
    prepare(reordered, tokenizer_folder, rlvr, "--no-persona")
    assert f"{permix} {SAID}" in capsys.readouterr().err
    given = ["--data", str(reordered), "--tokenizer", str(tokenizer_folder), "--out", str(sft), "--val-problems", "5"]
    gsm8k_sft.main([*given, *POSITION])
    assert f"{permix} {SAID}" in capsys.readouterr().err


def test_other_problems_are_no_other_order(
    problem_file: Path, tokenizer_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prepare(problem_file, tokenizer_folder, tmp_path / "a" / "one")
    lines = problem_file.read_text().splitlines(keepends=True)
    problem_file.write_text("".join([*lines[:-1], lines[0]]))
    prepare(problem_file, tokenizer_folder, tmp_path / "a" / "two")
    assert "another order" not in capsys.readouterr().err


def test_a_manifest_says_on_what_a_draw_hangs(problem_file: Path, tokenizer_folder: Path, tmp_path: Path) -> None:
    for ids, said in ((POSITION, "place in the source"), ((), ROW_IDS)):
        prepare(problem_file, tokenizer_folder, tmp_path / "out", ids=ids)
        assert said in json.loads((tmp_path / "out" / "manifest.json").read_text())["row_ids"]
        metadata = pq.read_schema(tmp_path / "out" / "train.parquet").metadata
        assert metadata.get(ROW_IDS_METADATA.encode()) == (None if ids else ROW_IDS.encode())


@pytest.mark.parametrize(
    ("another_order", "ids", "said"),
    [
        (True, POSITION, "holds a run on the same problems in another order: .* another held-out set"),
        (True, (), "holds a run on the same problems in another order: .* have the same rows in another order"),
        (False, POSITION, r"holds a run with training data="),
    ],
)
def test_a_run_does_not_go_on_with_another_order_and_says_that_it_is_one(
    problem_file: Path,
    reordered: Path,
    tokenizer_folder: Path,
    tmp_path: Path,
    another_order: bool,
    ids: tuple[str, ...],
    said: str,
) -> None:
    run = RunFolder(tmp_path / "run")
    prepare(problem_file, tokenizer_folder, run.new_data, ids=ids)
    config = bare(f"data.train_files='{run.data / 'train.parquet'}'")
    begin_run(run, config)
    checkpoint = run.checkpoints / "global_step_1"
    (checkpoint / "actor").mkdir(parents=True)
    (checkpoint / "actor" / "lora_train_meta.json").touch()
    (checkpoint / "data.pt").touch()
    run.tracker.write_text("1")
    if not another_order:
        lines = problem_file.read_text().splitlines(keepends=True)
        reordered.write_text("".join(lines[:50]))
    prepare(reordered, tokenizer_folder, run.new_data, ids=ids)
    with pytest.raises(UserError, match=said):
        begin_run(run, config)
