"""Question sets that a model writes, and bad input of the PersonaGym evaluation."""

import json
from pathlib import Path
from typing import Any

import pytest

from permix_verl import UserError
from permix_verl.cli import judge as personagym
from permix_verl.cli import judge_questions as personagym_questions

from ...support.endpoint import Reply, Server, chat
from ...support.fidelity_stage import (
    perform,
    real_calls,
    set_up,
)


@pytest.fixture(autouse=True)
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("permix_verl.inference.engines.openai_protocol.MAX_BACKOFF_S", 0.01)


BAD = {
    "no checkout": (["--scoring", "official"], "--scoring official reads PersonaGym's own files"),
    "no such scoring": (["--scoring", "fair"], "unknown scoring fair; known: fixed, official"),
    "two of one name": (["--judge", "b@http://h/v1", "--judge", "b@http://i/v1"], "two judges are named 'b'"),
    "no model": (["--judge", "@http://h/v1"], "names no model"),
    "not JSON": (["--judge", "{b}"], "a judge is not JSON"),
    "a price alone": (["--judge", '{"model": "b", "price": 3}'], "price is 3; give dollars"),
    "a text for a number": (
        ["--judge", '{"model": "b", "max_tokens": "9"}'],
        "max_tokens is '9'; it must be of type int",
    ),
    "no attempts": (["--attempts", "0"], "--attempts is 0"),
    "no such set": (["--questions", "nowhere.json"], "no question set 'nowhere.json'"),
    "no such pool": (["--personas", "nobody"], "no persona pool 'nobody'"),
    "top_p": (["--top-p", "2"], "top_p 2"),
    "examples alone": (["--example-judge", "m"], "--example-judge needs the official scoring"),
    "questions for others": (["--personas", "train"], "has no questions for persona"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_clear_error(tmp_path: Path, case: str) -> None:
    given, message = BAD[case]
    with pytest.raises(UserError) as raised:
        personagym.main(["--model", "m", "--base-url", "http://h/v1", "--out", str(tmp_path / "out"), *given])
    assert message in str(raised.value)
    assert not (tmp_path / "out").exists()


def writing(body: dict[str, Any], attempt: int) -> Reply:
    """Two questions; the first reply for a task is one too few."""
    prompt = body["messages"][-1]["content"]
    if prompt == "1 + 1 = ?":
        return perform(body, attempt)
    role = prompt.split("\n")[2]
    texts = [f"{role} {body['seed']} {number}?" for number in range(2)]
    return chat(json.dumps({"questions": texts if "nasty" not in prompt else texts[:1]}))


def test_a_question_set_is_written_once_whole_and_never_again(server: Server, tmp_path: Path) -> None:
    server.answer = writing
    pool = set_up(tmp_path)["pool"]
    out = tmp_path / "sets" / "nine.json"
    command = ["--writer", f"w@{server.url}", "--personas", str(pool), "--number", "2", "--out", str(out)]
    personagym_questions.main(command)
    asked = len(real_calls(server))
    assert asked == 9 * 5
    with pytest.raises(UserError, match="exists, and a question set must not change"):
        personagym_questions.main(command)
    args = ["--model", "m", "--base-url", server.url, "--personas", str(pool), "--questions", str(out), "--dry-run"]
    assert personagym.main([*args, "--out", str(tmp_path / "x")]) == 0
    out.unlink()
    personagym_questions.main(command)
    assert len(real_calls(server)) == asked, "every reply was kept"


def test_a_writer_that_gives_too_few_questions_leaves_no_file(server: Server, tmp_path: Path) -> None:
    def answer(body: dict[str, Any], attempt: int) -> Reply:
        reply = writing(body, attempt)
        return chat('{"questions": ["one?"]}') if "p4" in body["messages"][-1]["content"] else reply

    server.answer = answer
    out = tmp_path / "nine.json"
    pool = set_up(tmp_path)["pool"]
    command = ["--writer", f"w@{server.url}", "--personas", str(pool), "--number", "2", "--out", str(out)]
    with pytest.raises(UserError, match="5 of 45 lists of questions are missing, such as 'p4'"):
        personagym_questions.main([*command, "--attempts", "2"])
    assert not out.exists()
    server.answer = writing
    personagym_questions.main([*command, "--attempts", "3"])
    assert out.exists()
