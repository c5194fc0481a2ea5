"""Requests to judges: failed and repeated ones, keys, other settings, what a server refuses."""

import json
from pathlib import Path
from typing import Any

import pytest

from permix_verl import UserError
from permix_verl.cli import judge as personagym
from permix_verl.cli import report as report_command
from permix_verl.fidelity.personagym.scores import read_fidelity

from ...support.endpoint import Reply, Server, chat, refusal
from ...support.fidelity_stage import (
    TOXICITY,
    arguments,
    judge,
    perform,
    real_calls,
    score_reply,
    stored_rows,
)


@pytest.fixture(autouse=True)
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("permix_verl.inference.engines.openai_protocol.MAX_BACKOFF_S", 0.01)


BROKEN = {
    "429": refusal(429),
    "500": refusal(500),
    "a page": Reply(body="<html>busy</html>"),
    "a closed connection": Reply(drop=True),
    "no choices": Reply(body={"choices": []}),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_reply_that_does_not_come_is_asked_for_again_and_never_a_score(
    server: Server, tmp_path: Path, kind: str
) -> None:
    """Toxicity of p1 fails for good in the first command; everything else fails once and comes then."""
    hopeless = True

    def answer(body: dict[str, Any], attempt: int) -> Reply:
        if body["model"] == "actor" or body["messages"][-1]["content"] == "1 + 1 = ?":
            return perform(body, attempt)
        if hopeless and f"p1|{TOXICITY}" in body["messages"][-1]["content"]:
            return BROKEN[kind]
        return BROKEN[kind] if attempt == 0 else judge(body, attempt)

    server.answer = answer
    patient = json.dumps({"model": "b", "base_url": server.url, "retries": 2})
    command = [*arguments(server, tmp_path, judges=()), "--judge", patient]
    assert personagym.main(command) == 1
    (failure,) = stored_rows(tmp_path, "failures.jsonl")
    assert failure["place"] == ["fixed", "p1", TOXICITY, 0]
    counts = read_fidelity(tmp_path / "results" / "model").scorings["fixed"].counts["b"]
    assert counts == {"wanted": 27, "scored": 25, "refused": 1, "failed": 1}
    before = len(real_calls(server))
    hopeless = False
    assert personagym.main(command) == 0
    assert len(real_calls(server)) - before <= 2, "only the one that had failed"
    assert read_fidelity(tmp_path / "results" / "model").scorings["fixed"].counts["b"]["failed"] == 0


def test_a_judge_that_does_not_answer_in_time_fails_that_judgement(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from permix_verl.inference.engines import openai

    whole = openai.OpenAIEngine.__init__

    def short(self: Any, *args: Any, **settings: Any) -> None:
        whole(self, *args, **{**settings, "timeout_s": 0.5, "retries": 1})

    monkeypatch.setattr(openai.OpenAIEngine, "__init__", short)

    def answer(body: dict[str, Any], attempt: int) -> Reply:
        reply = perform(body, attempt)
        if body["model"] == "b" and f"p2|{TOXICITY}" in body["messages"][-1]["content"]:
            reply.delay_s = 5.0
        return reply

    server.answer = answer
    assert personagym.main(arguments(server, tmp_path, judges=("b",))) == 1
    (failure,) = stored_rows(tmp_path, "failures.jsonl")
    assert failure["error"] == "no answer within 0.5 s"
    assert read_fidelity(tmp_path / "results" / "model").scorings["fixed"].counts["b"]["failed"] == 1


def test_keys_come_from_the_environment_and_appear_nowhere(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Also not where a server repeats them in its errors and replies."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-first-secret-1234")
    monkeypatch.setenv("SECOND_KEY", "sk-second-secret-5678")

    def answer(body: dict[str, Any], attempt: int) -> Reply:
        key = server.keys[-1]
        prompt = body["messages"][-1]["content"]
        if f"p3|{TOXICITY}" in prompt:
            return refusal(400, f"your key {key} is a nice one")
        if f"p4|{TOXICITY}" in prompt and body["model"] == "b":
            return chat(f"you sent me {key}")
        return perform(body, attempt)

    server.answer = answer
    second = json.dumps({"model": "b", "base_url": server.url, "key_env": "SECOND_KEY", "concurrency": 1})
    command = [*arguments(server, tmp_path, "--concurrency", "1", judges=("gpt-a",)), "--judge", second]
    assert personagym.main(command) == 1
    report_command.main([str(tmp_path / "results" / "model"), "--out", str(tmp_path / "report")])
    assert {"Bearer sk-first-secret-1234", "Bearer sk-second-secret-5678"} == set(server.keys)
    said = capfd.readouterr()
    files = [file.read_text() for file in tmp_path.rglob("*") if file.is_file()]
    for text in (said.out, said.err, *files):
        assert "secret" not in text
    assert any("your key Bearer *** is a nice one" in text for text in files), "the error itself is kept"
    assert any("you sent me Bearer ***" in text for text in files)


def test_a_judges_own_key_that_is_not_set_is_not_replaced_by_another(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-first-secret-1234")
    server.answer = perform
    second = json.dumps({"model": "b", "base_url": server.url, "key_env": "SECOND_KEY"})
    with pytest.raises(UserError, match="the API key of judge 'b' is missing; set SECOND_KEY"):
        personagym.main([*arguments(server, tmp_path, judges=()), "--judge", second])
    assert all(body["model"] == "actor" for body in server.bodies)


@pytest.mark.parametrize("key", ["sk-sec\nret-1234", "sk-sec ret-1234", "sk-sécret-1234"])
def test_a_key_that_no_header_takes_is_refused_without_being_repeated(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", key)
    with pytest.raises(UserError, match="contains characters that no HTTP header can hold") as raised:
        personagym.main(arguments(server, tmp_path))
    assert "1234" not in str(raised.value)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-good-1234\n")
    server.answer = perform
    assert personagym.main(arguments(server, tmp_path)) == 0
    assert set(server.keys) == {"Bearer sk-good-1234"}, "a line end, as files have it, is nobody's mistake"


def test_a_request_that_the_judges_server_will_not_take_is_counted_and_not_paid_for_again(
    server: Server, tmp_path: Path
) -> None:
    def answer(body: dict[str, Any], attempt: int) -> Reply:
        if body["model"] == "b" and f"p2|{TOXICITY}" in body["messages"][-1]["content"]:
            return refusal(400, "the prompt is too long; reduce max_tokens")
        return perform(body, attempt)

    server.answer = answer
    assert personagym.main(arguments(server, tmp_path, judges=("b",))) == 0
    counts = read_fidelity(tmp_path / "results" / "model").scorings["fixed"].counts["b"]
    assert counts == {"wanted": 27, "scored": 25, "refused": 1, "rejected": 1}
    assert all("max_tokens" in body for body in server.bodies), "no word of a parameter that is not taken"
    before = len(real_calls(server))
    assert personagym.main(arguments(server, tmp_path, judges=("b",))) == 0
    assert len(real_calls(server)) == before


def test_two_names_of_one_model_are_two_judges(server: Server, tmp_path: Path) -> None:
    """Behind other addresses they may be two; one name's replies are not the other's."""
    server.answer = perform
    named = [json.dumps({"model": "b", "base_url": server.url, "name": name}) for name in ("one", "two")]
    command = [*arguments(server, tmp_path, judges=()), "--judge", named[0], "--judge", named[1]]
    assert personagym.main(command) == 0
    assert sum(body["model"] == "b" for body in real_calls(server)) == 54
    found = read_fidelity(tmp_path / "results" / "model").scorings["fixed"]
    assert found.judges == ("one", "two")


def test_a_judge_given_again_with_other_settings_judges_anew_and_its_old_replies_do_not_count(
    server: Server, tmp_path: Path
) -> None:
    """The remedy in the message about truncated replies."""
    server.answer = lambda body, attempt: (
        score_reply(1) if body["model"] == "b" and body.get("max_tokens") == 1024 else perform(body, attempt)
    )
    assert personagym.main(arguments(server, tmp_path, judges=("b",))) == 0
    assert read_fidelity(tmp_path / "results" / "model").scorings["fixed"].counts["b"]["scored"] == 27
    longer = json.dumps({"model": "b", "base_url": server.url, "max_tokens": 4096})
    assert personagym.main([*arguments(server, tmp_path, judges=()), "--judge", longer]) == 0
    found = read_fidelity(tmp_path / "results" / "model").scorings["fixed"]
    assert found.counts["b"]["refused"] == 1
    assert found.ratings_JPTQ[0, found.personas.index("p5"), 0, 0] == 5
    assert len(stored_rows(tmp_path, "judgements.jsonl")) == 54


def test_a_judge_that_was_given_up_can_be_left_out_of_the_report(server: Server, tmp_path: Path) -> None:
    def answer(body: dict[str, Any], attempt: int) -> Reply:
        asked = body["messages"][-1]["content"]
        return refusal(400, "no") if body["model"] == "gpt-a" and "|answered" in asked else perform(body, attempt)

    server.answer = answer
    assert personagym.main(arguments(server, tmp_path)) == 0
    folder = str(tmp_path / "results" / "model")
    report_command.main([folder, "--out", str(tmp_path / "all")])
    report_command.main([folder, "--judge", "b", "--out", str(tmp_path / "one")])
    scores = [(tmp_path / name / "fidelity.csv").read_text().splitlines()[1].split(",")[4] for name in ("all", "one")]
    assert scores[0] == "", "all judges together need each one's score"
    assert float(scores[1]) == pytest.approx(25.5 / 9)


def test_a_key_on_the_command_line_is_refused_without_being_repeated() -> None:
    with pytest.raises(UserError, match="unknown field 'api_key'") as raised:
        personagym.main(["--model", "m", "--out", "o", "--judge", '{"model": "b", "api_key": "sk-secret-1234"}'])
    assert "sk-secret" not in str(raised.value)


def test_what_a_judges_server_does_not_take_is_left_out_and_said(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def answer(body: dict[str, Any], attempt: int) -> Reply:
        if body["model"] == "b" and "response_format" in body:
            return refusal(400, "This response_format type is unavailable now")
        if body["model"] == "b" and "temperature" in body:
            return Reply(400, {"error": {"message": "Unsupported value", "param": "temperature"}})
        return perform(body, attempt)

    server.answer = answer
    assert personagym.main(arguments(server, tmp_path, judges=("b",))) == 0
    assert "b: requests were sent without response_format, temperature" in capsys.readouterr().out
    assert read_fidelity(tmp_path / "results" / "model").scorings["fixed"].counts["b"]["scored"] == 26


def test_a_judge_whose_replies_are_cut_off_is_stopped_early(server: Server, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("permix_verl.inference.judges.ask.MIN_REPLIES_BEFORE_ABORT", 10)
    server.answer = lambda body, attempt: (
        chat("I think that", "length")
        if body["model"] == "b" and body["messages"][-1]["content"] != "1 + 1 = ?"
        else perform(body, attempt)
    )
    with pytest.raises(UserError, match=r"of \d+ replies of b were truncated at 1024 tokens"):
        personagym.main(arguments(server, tmp_path, judges=("b",)))
    assert {row["status"] for row in stored_rows(tmp_path, "judgements.jsonl")} == {"cut"}
