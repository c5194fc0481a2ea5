"""Input of the audit: field names, labels, chats, folders, and rows that cannot be judged."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from permix_verl import UserError
from permix_verl.audit.rows import read_rows
from permix_verl.cli.main import run
from permix_verl.evaluation.sample_store import Sample, SampleStore

from ...support.audit_rows import BOXED, read_all, refusal_of, write_rows


@pytest.mark.parametrize("output", ["output", "solution", "response", "completion"])
@pytest.mark.parametrize("gold", ["gold", "answer", "ground_truth", "gold_answer", "target"])
def test_the_usual_field_names_are_read(tmp_path: Path, output: str, gold: str) -> None:
    (row,) = read_all(
        write_rows(tmp_path, {output: "it is 18", gold: 18, "question": "How many?", "persona": "pirate"})
    )
    assert (row.output, row.gold, row.question, row.persona, row.label) == (
        "it is 18",
        "18",
        "How many?",
        "pirate",
        None,
    )


@pytest.mark.parametrize(
    ("label", "right"),
    [
        (True, True),
        (False, False),
        (1, True),
        (0, False),
        ("true", True),
        ("Correct", True),
        ("wrong", False),
        ("", None),
    ],
)
def test_labels_may_be_written_in_several_ways(tmp_path: Path, label: Any, right: bool | None) -> None:
    for name in ("label", "is_correct", "correct"):
        assert read_all(write_rows(tmp_path, BOXED | {name: label}))[0].label is right


def test_a_fields_own_name_takes_precedence(tmp_path: Path) -> None:
    (row,) = read_all(write_rows(tmp_path, BOXED | {"solution": "the book's", "answer": "19"}))
    assert (row.output, row.gold) == (BOXED["output"], "18")


def test_a_chat_yields_its_last_user_message_and_its_last_assistant_message(tmp_path: Path) -> None:
    chat = [{"role": "system", "content": "Be a pirate."}, {"role": "user", "content": "How many eggs?"}]
    reply = [{"role": "assistant", "content": [{"type": "text", "text": "It is "}, {"type": "text", "text": "18."}]}]
    first, second = read_all(
        write_rows(tmp_path, {"prompt": chat, "completion": reply, "gold": "18"}, BOXED | {"prompt": json.dumps(chat)})
    )
    assert (first.question, first.output, second.question) == ("How many eggs?", "It is 18.", "How many eggs?")


def test_several_files_and_a_results_folder_are_read_in_order(tmp_path: Path) -> None:
    store = SampleStore(tmp_path / "results")
    common: dict[str, Any] = {"run": 1, "prompt": "How many?", "prompt_sha256": "", "gold": "18", "output": "18"}
    common |= {"pred": "", "status": "wrong", "finish_reason": "stop", "prompt_tokens": 1, "completion_tokens": 1}
    with store.writing():
        store.append([Sample(key=task, task=task, persona="pirate", problem="p/3", seed=0, **common) for task in "ba"])
    file = write_rows(tmp_path, BOXED, "", BOXED)
    rows = list(read_rows([file, tmp_path / "results"], {}))
    assert [(Path(row.file).name, row.line) for row in rows] == [
        *[("outputs.jsonl", line) for line in (1, 3)],
        *[(name, 1) for name in ("a.jsonl", "b.jsonl")],
    ]
    assert (rows[2].name, rows[2].persona, rows[2].question) == ("p/3#1", "pirate", "How many?")


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ('{"output": ', "line 2: not JSON"),
        ('{"output": "\\ud800"', "line 2: not JSON"),
        ("[" * 100_000, "line 2: not JSON"),
        ("[1]", "line 2: expected an object, got list; write one object a line"),
        ({"gold": "18", "text": "x"}, "line 2: no output among the fields (gold, text); name the field that has it"),
        ({"output": "18"}, "line 2: no gold among the fields (output); name the field that has it: --field gold=FIELD"),
        ({"output": 18, "gold": "18"}, "line 2: the output is '18'; it must be text"),
        ({"output": "18", "gold": " "}, "line 2: the gold is ' '; it must be text"),
        ({"output": "18", "gold": True}, "line 2: the gold is 'True'; it must be text"),
        ({"output": "18", "gold": ["18"]}, "line 2: the gold is \"['18']\"; it must be text"),
        ({"response": "18", "solution": "It is 18", "gold": "18"}, "'solution' and 'response' may each be the output"),
        ({"output": "18", "answer": "18", "target": "19"}, "'answer' and 'target' may each be the gold; choose one"),
        (
            BOXED | {"correct": True, "is_correct": False},
            "'is_correct' and 'correct' may each be the label; choose",
        ),
        (BOXED | {"label": "perhaps"}, "line 2: the label is 'perhaps'; write true or false"),
        (BOXED | {"label": 2}, "line 2: the label is '2'; write true or false"),
        (BOXED | {"persona": {"name": "x"}}, "line 2: the persona is"),
        (BOXED | {"task": "livecodebench"}, "line 2: task livecodebench is scored by running programs"),
    ],
)
def test_a_row_that_cannot_be_judged_is_reported_with_its_line(tmp_path: Path, row: Any, told: str) -> None:
    assert told in refusal_of(write_rows(tmp_path, BOXED, row))


def test_two_names_with_the_same_value_are_unambiguous(tmp_path: Path) -> None:
    assert read_all(write_rows(tmp_path, {"output": "18", "answer": "18", "target": "18"}))[0].gold == "18"


def test_an_ambiguous_field_can_be_named(tmp_path: Path) -> None:
    file = write_rows(tmp_path, {"response": "it is 18", "solution": "the book's", "answer": "18", "ok": 1})
    (row,) = read_all(file, output="response", label="ok")
    assert (row.output, row.label) == ("it is 18", True)
    assert "no gold among the fields" in refusal_of(file, output="response", gold="golden")


def test_invalid_utf8_is_reported(tmp_path: Path) -> None:
    file = tmp_path / "outputs.jsonl"
    file.write_bytes(json.dumps(BOXED).encode() + b'\n{"output": "\xff", "gold": "1"}\n')
    assert "line 2: not JSON" in refusal_of(file)


def test_missing_and_empty_files_are_reported(tmp_path: Path) -> None:
    assert "no such file or folder" in refusal_of(tmp_path / "none.jsonl")
    assert "has no rows" in refusal_of(write_rows(tmp_path, ""))
    assert "has no samples/*.jsonl" in refusal_of(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    assert "save the outputs to a file" in refusal_of(tmp_path / "pipe")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--field", "pred=x"], "--field pred=x: unknown field; known: output, gold, label, prompt, persona"),
        (["--show", "-1"], "--show is -1"),
        (["--out", __file__], "is a file; give a folder"),
    ],
)
def test_invalid_arguments_are_refused(tmp_path: Path, arguments: Sequence[str], told: str) -> None:
    with pytest.raises(UserError, match=told.replace("(", r"\(")):
        run(["audit", str(write_rows(tmp_path, BOXED)), *arguments])
