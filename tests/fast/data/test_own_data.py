"""Own data to parquet: names, several sources, weights, validation per source, golds, and what is refused."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from permix_verl import UserError
from permix_verl.cli import prep
from permix_verl.data.preview import HEAD, TAIL, shortened
from permix_verl.data.scan import copies, share_out

from ...support.data_shapes import SHAPES, answer, math, question, records, write


def run(out: Path, tokenizer: Path, *flags: str, val_problems: int = 2) -> dict[str, Any]:
    prep.main(["--tokenizer", str(tokenizer), "--out", str(out), "--val-problems", str(val_problems), *flags])
    return json.loads((out / "manifest.json").read_text())  # type: ignore[no-any-return]


def rows(out: Path, split: str = "train") -> list[dict[str, Any]]:
    return pq.read_table(out / f"{split}.parquet").to_pylist()  # type: ignore[no-any-return]


def plain(number: int) -> dict[str, Any]:
    return {"task": question(number), "result": answer(number)}


FIELDS = ("--question-field", "task", "--answer-field", "result")


@pytest.mark.parametrize("preset", ["dapo-math-17k", "deepscaler", "openr1-math"])
def test_the_shapes_that_the_field_uses_become_rows(preset: str, tokenizer_folder: Path, tmp_path: Path) -> None:
    file = write(tmp_path / "data.parquet", records(preset))
    manifest = run(tmp_path / "out", tokenizer_folder, "--data", f"{file},preset={preset}")
    train = rows(tmp_path / "out")
    assert len(train) == manifest["rows"]["train"] == 10
    assert manifest["rows"]["repeated"] == (12 if preset == "dapo-math-17k" else 0)
    assert {row["data_source"] for row in train} == {preset}
    asked = {row["prompt"][-1]["content"] for row in train}
    assert asked < {f"{question(n)}\n\nPut your final answer within \\boxed{{}}." for n in range(12)}
    golds = {row["prompt"][-1]["content"].split("\n\n")[0]: row["reward_model"]["ground_truth"] for row in train}
    assert all(golds.get(question(n), answer(n)) == answer(n) for n in range(12))
    held_out = {row["data_source"] for row in rows(tmp_path / "out", "val")}
    assert len(held_out) == 26
    assert f"{preset}/no_persona" in held_out


def test_where_a_file_lies_is_no_part_of_a_draw(tokenizer_folder: Path, tmp_path: Path) -> None:
    found = []
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        file = write(tmp_path / folder / f"{folder}.jsonl", [math(number) for number in range(8)])
        run(tmp_path / folder / "out", tokenizer_folder, "--data", str(file))
        found.append(rows(tmp_path / folder / "out"))
    assert found[0] == found[1]
    assert {row["data_source"] for row in found[0]} == {"math"}


def test_several_sources_keep_their_names_weights_and_held_out_problems(tokenizer_folder: Path, tmp_path: Path) -> None:
    one = write(tmp_path / "one.jsonl", [math(number) for number in range(30)])
    two = write(tmp_path / "two.json", [plain(number) for number in range(100, 110)])
    three = write(tmp_path / "three.parquet", records("dapo-math-17k", 20, first=200))
    fields = "question-field=task,answer-field=result"
    data = f"{one},weight=2;{two},name=mine,{fields};{three},preset=dapo-math-17k,weight=0.5"
    manifest = run(tmp_path / "out", tokenizer_folder, "--data", data, val_problems=6)
    train, val = rows(tmp_path / "out"), rows(tmp_path / "out", "val")
    held_out = {
        name: {row["extra_info"]["row_id"] for row in val if row["data_source"].startswith(f"{name}/")}
        for name in ("math", "mine", "dapo-math-17k")
    }
    assert {name: len(ids) for name, ids in held_out.items()} == {"math": 3, "mine": 1, "dapo-math-17k": 2}
    assert manifest["rows"]["val_problems_by_source"] == {"dapo-math-17k": 2, "math": 3, "mine": 1}
    counts = Counter(row["data_source"] for row in train)
    assert (counts["math"], counts["mine"]) == (2 * 27, 9)
    assert 0 < counts["dapo-math-17k"] < 18
    ids = [row["extra_info"]["row_id"] for row in train]
    assert len(set(ids)) == len(ids)
    assert {row_id.removesuffix("*2") for row_id in ids}.isdisjoint(set.union(*held_out.values()))
    twice = {row["extra_info"]["row_id"]: row["extra_info"]["persona"] for row in train if row["data_source"] == "math"}
    assert sum(twice[row_id] != twice[f"{row_id}*2"] for row_id in twice if f"{row_id}*2" in twice) > 20
    assert [source["rows"] for source in manifest["sources"]] == [30, 10, 40]


def test_fractions_of_weights_are_kept_by_a_hash_of_the_row_id() -> None:
    ids = [f"a/train/{number}" for number in range(4000)]
    assert {copies(row_id, 1) for row_id in ids} == {1}
    assert {copies(row_id, 0) for row_id in ids} == {0}
    kept = {weight: {row_id for row_id in ids if copies(row_id, weight) > int(weight)} for weight in (0.25, 0.5, 2.25)}
    assert len(kept[0.25]) == pytest.approx(1000, abs=120)
    assert kept[0.25] < kept[0.5]
    assert kept[2.25] == kept[0.25]


def test_validation_problems_are_shared_out_by_size() -> None:
    assert share_out(32, {"a": 7473}) == {"a": 32}
    assert share_out(32, {"a": 3000, "b": 1000}) == {"a": 24, "b": 8}
    assert share_out(32, {"a": 100_000, "b": 10}) == {"a": 31, "b": 1}
    assert share_out(1, {"a": 5, "b": 5, "c": 5}) == {"a": 1, "b": 1, "c": 1}
    assert share_out(10, {"a": 3, "b": 100}) == {"a": 1, "b": 9}


def test_golds_are_given_to_the_reward_before_anything_is_written(tokenizer_folder: Path, tmp_path: Path) -> None:
    bad = [plain(0), plain(1) | {"result": "\\frac{1}{"}, plain(2) | {"result": "proof"}, plain(3) | {"result": None}]
    file = write(tmp_path / "mine.jsonl", [*bad, *(plain(number) for number in range(4, 10))])
    said = (
        r"3 of 10 golds cannot be used, .* \(.*line 2: 'no_answer' when given back as \\boxed\{\\frac\{1\}\{\}; "
        r".*line 3: 'proof' stands for no answer .*; .*line 4: empty field 'result'\); repair .* --bad-golds drop"
    )
    with pytest.raises(UserError, match=said):
        run(tmp_path / "out", tokenizer_folder, "--data", str(file), *FIELDS)
    assert not (tmp_path / "out").exists()
    for data, flags in ((str(file), ("--bad-golds", "drop")), (f"{file},bad-golds=drop", ())):
        manifest = run(tmp_path / "out", tokenizer_folder, "--data", data, *FIELDS, *flags)
        assert manifest["rows"]["dropped_bad_gold"] == 3
        assert len(rows(tmp_path / "out")) == 5
        dropped = [json.loads(line) for line in (tmp_path / "out" / "dropped.jsonl").read_text().splitlines()]
        assert [(row["gold"], row["question"]) for row in dropped] == [
            ("\\frac{1}{", question(1)),
            ("proof", question(2)),
            ("", question(3)),
        ]
        assert all({"row_id", "where", "reason"} <= set(row) for row in dropped)
    write(file, [plain(number) for number in range(9)])
    run(tmp_path / "out", tokenizer_folder, "--data", str(file), *FIELDS)
    assert not (tmp_path / "out" / "dropped.jsonl").exists(), "of the earlier data"


def test_a_hundred_bad_golds_are_one_line(tokenizer_folder: Path, tmp_path: Path) -> None:
    file = write(tmp_path / "mine.jsonl", [plain(number) | {"result": ""} for number in range(100)])
    with pytest.raises(UserError, match=r"100 of 100 golds cannot be used.*; and 97 more\)") as refused:
        run(tmp_path / "out", tokenizer_folder, "--data", str(file), *FIELDS)
    assert len(str(refused.value)) < 1000


def test_latex_golds_pass_and_the_first_rows_are_shown(
    tokenizer_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    golds = ["\\frac{1}{2}", "$x^2+1$", "(3, \\pi)", "\\text{(C)}", "12\\%", "\\boxed{7}"]
    file = write(tmp_path / "mine.jsonl", [plain(n) | {"result": gold} for n, gold in enumerate(golds)])
    run(tmp_path / "out", tokenizer_folder, "--data", str(file), *FIELDS)
    kept = {row["reward_model"]["ground_truth"] for row in rows(tmp_path / "out")}
    assert kept < {"\\frac{1}{2}", "x^2+1", "(3, \\pi)", "\\text{(C)}", "12\\%", "7"}
    said = capsys.readouterr().out
    assert said.startswith(f"{file}: problem 'task', final answer 'result' as it stands, id a hash of problem")
    first = rows(tmp_path / "out")[0]
    assert f"--- {first['extra_info']['row_id']}, {first['extra_info']['persona']}, final answer" in said
    assert said.count("<|start_header_id|>system<|end_header_id|>") == 2
    assert first["prompt"][0]["content"] in said


def test_a_long_prompt_is_shown_without_its_middle() -> None:
    text = shortened("a" * 5000 + "z")
    assert text.startswith("a" * HEAD)
    assert text.endswith("z")
    assert f"[... {5001 - HEAD - TAIL:,} characters ...]" in text
    assert shortened("short") == "short"


def test_validation_asks_under_at_most_25_personas_unless_told(tokenizer_folder: Path, tmp_path: Path) -> None:
    pool = tmp_path / "pool.jsonl"
    people = [{"key": f"p{n}", "category": "", "system_prompt": f"You are person {n}."} for n in range(40)]
    write(pool, people)
    data = (
        "--data",
        str(write(tmp_path / "mine.jsonl", [math(number) for number in range(8)])),
        "--personas",
        str(pool),
    )
    manifest = run(tmp_path / "out", tokenizer_folder, *data, "--dev-personas", "p7,p39")
    asked = {row["data_source"].partition("/")[2] for row in rows(tmp_path / "out", "val")}
    assert len(asked) == 26
    assert {"p7", "p39", "no_persona"} < asked
    assert set(manifest["val_personas"]) == asked - {"no_persona"}
    assert run(tmp_path / "few", tokenizer_folder, *data, "--val-personas", "3")["rows"]["val"] == 2 * 4
    assert "val_personas" not in run(tmp_path / "all", tokenizer_folder, *data, "--val-personas", "40")
    assert run(tmp_path / "old", tokenizer_folder, *data, "--row-ids", "position")["rows"]["val"] == 2 * 41
    with pytest.raises(UserError, match="--val-personas is 0; ask for at least 1"):
        run(tmp_path / "none", tokenizer_folder, *data, "--val-personas", "0")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("{empty}", "empty.jsonl has no problem; give a file with one question"),
        ("{math};{empty},name=none", "empty.jsonl has no problem"),
        ("{math},weight=0;{own},weight=0,name=b", "the weights of all sources are 0"),
        ("{math},weight=-2", "the weight is -2"),
        ("{math};{one},name=tiny", "tiny has 1 usable problems, and the 1 held out for validation"),
        ("{math};{bad},name=bad,bad-golds=drop", "no problem of bad can be used"),
        ("{ids},id-field=nr", r"one id, math/train/1, for two different problems: .*, line 1 \(.*, and .*, line 2 \("),
        ("{math},weight=0.001", "the sources' weights leave no row to train on"),
    ],
)
def test_bad_sources_are_one_clear_error_and_leave_nothing(
    data: str, message: str, tokenizer_folder: Path, tmp_path: Path
) -> None:
    files = {
        "empty": write(tmp_path / "empty.jsonl", []),
        "math": write(tmp_path / "math.jsonl", [math(number) for number in range(6)]),
        "own": write(tmp_path / "own.jsonl", [math(number) for number in range(50, 56)]),
        "one": write(tmp_path / "one.jsonl", [math(77)]),
        "bad": write(tmp_path / "bad.jsonl", [math(80) | {"solution": "so"}]),
        "ids": write(tmp_path / "ids.jsonl", [math(number) | {"nr": 1} for number in range(4)]),
    }
    with pytest.raises(UserError, match=message):
        run(tmp_path / "out", tokenizer_folder, "--data", data.format(**files))
    assert not (tmp_path / "out" / "manifest.json").exists()


def test_every_preset_is_among_the_shapes_and_in_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        prep.main(["--help"])
    said = " ".join(capsys.readouterr().out.split())
    assert all(preset in said.replace("- ", "-") for preset in SHAPES)
