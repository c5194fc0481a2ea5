"""GSM8K to parquet: schema, draw, held-out problems, drops, identity, and bad input."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from permix_verl import UserError, draw_persona, load_pool
from permix_verl.cli import prep as gsm8k_persona
from permix_verl.data.problems import iter_problems, parse_final_answer
from permix_verl.data.row_ids import content_id
from permix_verl.data.schema import persona_text, read_draw
from permix_verl.errors import exit_with_message
from permix_verl.personas.pool import NO_PERSONA

POOL = load_pool("train")


def run(problem_file: Path, tokenizer_folder: Path, out: Path, *flags: str) -> dict[str, Any]:
    gsm8k_persona.main(
        [
            "--data",
            str(problem_file),
            "--tokenizer",
            str(tokenizer_folder),
            "--out",
            str(out),
            "--val-problems",
            "5",
            *flags,
        ]
    )
    return json.loads((out / "manifest.json").read_text())


def rows(file: Path) -> list[dict[str, Any]]:
    return pq.read_table(file).to_pylist()


def test_rows_have_verls_schema_and_the_drawn_persona(
    problem_file: Path, tokenizer_folder: Path, tmp_path: Path
) -> None:
    manifest = run(problem_file, tokenizer_folder, tmp_path / "out", "--seed", "3")
    train = rows(tmp_path / "out" / "train.parquet")
    assert "1 + 1 = ?" in manifest["no_persona_prompt"]
    assert len(train) == manifest["rows"]["train"] == 55
    for row in train:
        info = row["extra_info"]
        persona = draw_persona(POOL, 3, 0, info["row_id"])
        assert info["persona"] == persona.key
        assert row["prompt"][0] == {"role": "system", "content": persona.system_prompt}
        assert row["prompt"][1]["content"].startswith(info["question"])
        assert row["reward_model"] == {"style": "rule", "ground_truth": info["answer"].rsplit("#### ", 1)[1]}
        assert persona_text(row) == persona.system_prompt
    assert [row["extra_info"]["index"] for row in train] == list(range(55))


def test_validation_holds_out_training_problems_under_every_persona_and_none(
    problem_file: Path, tokenizer_folder: Path, tmp_path: Path
) -> None:
    run(problem_file, tokenizer_folder, tmp_path / "out")
    train, val = (rows(tmp_path / "out" / f"{name}.parquet") for name in ("train", "val"))
    sources: dict[str, set[str]] = {}
    for row in val:
        sources.setdefault(row["data_source"], set()).add(row["extra_info"]["row_id"])
    assert set(sources) == {f"gsm8k/{persona.slug}" for persona in POOL} | {f"gsm8k/{NO_PERSONA}"}
    held_out = sources[f"gsm8k/{NO_PERSONA}"]
    assert all(row_ids == held_out for row_ids in sources.values())
    assert len(held_out) == 5
    assert held_out.isdisjoint(row["extra_info"]["row_id"] for row in train)
    assert not {row["extra_info"]["persona"] for row in val} & set(load_pool("eval").keys)


def test_validation_problems_do_not_depend_on_the_seed(
    problem_file: Path, tokenizer_folder: Path, tmp_path: Path
) -> None:
    manifests = [run(problem_file, tokenizer_folder, tmp_path / seed, "--seed", seed) for seed in ("0", "1")]
    assert manifests[0]["sha256"]["val.parquet"] == manifests[1]["sha256"]["val.parquet"]
    assert manifests[0]["sha256"]["train.parquet"] != manifests[1]["sha256"]["train.parquet"]


def test_the_rlvr_arm_has_the_same_problems_without_personas(
    problem_file: Path, tokenizer_folder: Path, tmp_path: Path
) -> None:
    run(problem_file, tokenizer_folder, tmp_path / "permix")
    run(problem_file, tokenizer_folder, tmp_path / "rlvr", "--no-persona")
    permix, rlvr = (rows(tmp_path / arm / "train.parquet") for arm in ("permix", "rlvr"))
    assert [row["extra_info"]["row_id"] for row in permix] == [row["extra_info"]["row_id"] for row in rlvr]
    assert [row["prompt"][1:] for row in permix] == [row["prompt"] for row in rlvr]
    assert {row["extra_info"]["persona"] for row in rlvr} == {NO_PERSONA}


def test_the_same_call_writes_the_same_bytes(problem_file: Path, tokenizer_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(problem_file, tokenizer_folder, out)
    before = {file.name: file.read_bytes() for file in out.iterdir()}
    manifest = run(problem_file, tokenizer_folder, out)
    assert {file.name: file.read_bytes() for file in out.iterdir()} == before
    assert set(before) == {"train.parquet", "val.parquet", "manifest.json"}
    for name, digest in manifest["sha256"].items():
        assert hashlib.sha256(before[name]).hexdigest() == digest


def test_held_out_personas_are_in_no_training_row_and_in_all_of_validation(
    problem_file: Path, tokenizer_folder: Path, tmp_path: Path
) -> None:
    plain = run(problem_file, tokenizer_folder, tmp_path / "plain")
    manifest = run(problem_file, tokenizer_folder, tmp_path / "out", "--dev-personas", "5")
    held_out = set(manifest["dev_personas"])
    assert len(held_out) == 5
    assert held_out & set(plain["train_rows_per_persona"]), "drawn, were they not held out"
    train, val = (rows(tmp_path / "out" / f"{name}.parquet") for name in ("train", "val"))
    assert held_out.isdisjoint(row["extra_info"]["persona"] for row in train)
    assert held_out < {row["extra_info"]["persona"] for row in val}
    draw = read_draw(str(tmp_path / "out" / "train.parquet"))
    assert draw is not None
    assert set(draw.dev_personas) == held_out
    later = {persona.key for row in train if (persona := draw.persona(1, row["extra_info"]["row_id"]))}
    assert held_out.isdisjoint(later), "in the second epoch's draw"
    assert plain["sha256"]["val.parquet"] == manifest["sha256"]["val.parquet"]


def test_a_row_too_long_for_any_persona_is_dropped_whatever_was_drawn(
    problem_file: Path, tokenizer_folder: Path, tmp_path: Path
) -> None:
    limit = run(problem_file, tokenizer_folder, tmp_path / "all")["longest_prompt"]
    long = {"question": "Ann has 3 apples. " * 8 + "How many?", "answer": "3\n#### 3"}
    problem_file.write_text(problem_file.read_text() + json.dumps(long) + "\n")
    for seed in ("0", "1", "2"):
        manifest = run(
            problem_file, tokenizer_folder, tmp_path / seed, "--seed", seed, "--max-prompt-length", str(limit)
        )
        assert set(manifest["dropped"]) == {f"gsm8k/train/{content_id(long['question'].strip(), '3')}"}
        assert manifest["rows"]["dropped_too_long"] == 1
    # It would fit under the shortest persona: the drop does not depend on the draw.
    fits = run(problem_file, tokenizer_folder, tmp_path / "more", "--max-prompt-length", str(limit + 40))
    assert fits["rows"]["dropped_too_long"] == 0


def test_jsonl_parquet_and_folder_give_the_same_rows(problem_file: Path, tmp_path: Path) -> None:
    import pyarrow.json as pj

    folder = tmp_path / "gsm8k" / "main"
    folder.mkdir(parents=True)
    pq.write_table(pj.read_json(problem_file), folder / "train-00000-of-00001.parquet")
    expected = list(iter_problems(str(problem_file)))
    assert len(expected) == 60
    assert list(iter_problems(str(folder / "train-00000-of-00001.parquet"))) == expected
    assert list(iter_problems(str(tmp_path / "gsm8k"))) == expected


def test_every_real_training_problem_has_a_bare_numeric_answer(shared_data: Path) -> None:
    answers = [problem.final_answer for problem in iter_problems(str(shared_data / "gsm8k"))]
    assert len(answers) == 7473
    assert all(answer.lstrip("-").replace(".", "", 1).isdigit() for answer in answers)


@pytest.mark.parametrize(
    ("answer", "bare"),
    [("x\n#### 72", "72"), ("#### 1,234", "1234"), ("#### $5.50", "5.50"), ("#### -3.", "-3"), ("#### x+1", "x+1")],
)
def test_final_answers_are_bare(answer: str, bare: str) -> None:
    assert parse_final_answer(answer) == bare


def _malformed(file: Path) -> str:
    file.write_text('{"question": "q", "answer": "#### 1"}\n{"question": \n')
    return str(file)


def _no_mark(file: Path) -> str:
    file.write_text('{"question": "q", "answer": "#### 1"}\n{"question": "q", "answer": "so 7"}\n')
    return str(file)


def _no_answer_field(file: Path) -> str:
    file.write_text('{"question": "q", "solution": "#### 1"}\n')
    return str(file)


def _lone_surrogate(file: Path) -> str:
    file.write_text('{"question": "\\ud83d hi", "answer": "#### 1"}\n')
    return str(file)


def _empty(file: Path) -> str:
    file.write_text("")
    return str(file)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda file: "/nowhere/gsm8k.jsonl", "no such file or folder: '/nowhere/gsm8k.jsonl'"),
        (_malformed, "line 2: not JSON"),
        (_no_mark, "line 2: no '####' before the final answer in answer 'so 7'"),
        (
            _no_answer_field,
            "line 1: no fields question and answer, .* but question, solution; name them with --question",
        ),
        (_empty, "has no problem"),
        (_lone_surrogate, "line 1: field 'question' is not valid Unicode"),
    ],
)
def test_bad_data_is_one_clear_error_and_leaves_earlier_files(
    make: Any, message: str, problem_file: Path, tokenizer_folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    run(problem_file, tokenizer_folder, out)
    before = {file.name: file.read_bytes() for file in out.iterdir()}
    bad = make(tmp_path / "bad.jsonl")
    with pytest.raises(UserError, match=message):
        gsm8k_persona.main(["--data", bad, "--tokenizer", str(tokenizer_folder), "--out", str(out)])
    assert {file.name: file.read_bytes() for file in out.iterdir()} == before


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (
            ["--max-prompt-length", "20"],
            "all 60 prompts are longer than max_prompt_length=20 .* raise --max-prompt-length",
        ),
        (["--val-problems", "60"], "would leave none to train on; hold out fewer than 60"),
        (["--val-problems", "0"], "--val-problems is 0; hold out at least 1"),
        (["--personas", "eval"], "pools eval and eval share the keys"),
        (["--dev-personas", "chef,cook"], "unknown persona 'cook' in pool train"),
        (["--personas", "nope"], "no persona pool 'nope'"),
        (["--tokenizer", "/nowhere/model"], "cannot load tokenizer '/nowhere/model'"),
    ],
)
def test_bad_settings_are_one_clear_error_and_write_nothing(
    flags: list[str], message: str, problem_file: Path, tokenizer_folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    with pytest.raises(UserError, match=message):
        run(problem_file, tokenizer_folder, out, *flags)
    assert not out.exists() or not list(out.iterdir())


def test_an_interrupted_preparation_leaves_no_file_behind(
    problem_file: Path, tokenizer_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from permix_verl.data import prepare

    def interrupted(*args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(prepare, "_val_rows", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(problem_file, tokenizer_folder, tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())


def test_a_user_error_is_one_line_on_stderr_and_status_2(capsys: pytest.CaptureFixture[str]) -> None:
    def main() -> None:
        raise UserError("problem, value; remedy")

    with pytest.raises(SystemExit) as exit_info:
        exit_with_message(main)
    assert exit_info.value.code == 2
    assert capsys.readouterr().err == "error: problem, value; remedy\n"
