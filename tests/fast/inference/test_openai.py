"""The endpoint engine: what it makes of replies, and what it asks again."""

import time
from email.utils import formatdate
from typing import Any

import pytest

from permix_verl.inference.engines import Completion, Sampling
from permix_verl.inference.engines.openai_protocol import backoff_s

from ...support.endpoint import (
    BROKEN,
    FINAL,
    PLAIN_KEYS,
    REFUSALS,
    SYSTEM,
    USER,
    MakeEngine,
    Reply,
    Server,
    chat,
    completions,
    only,
    refusal,
    requests,
)


def test_an_answer_comes_back_as_the_server_gave_it(server: Server, engine_for: MakeEngine) -> None:
    server.answer = lambda body, attempt: chat(f"of {body['seed']}", "length" if body["seed"] else "stop")
    assert completions(engine_for(), requests(2)) == {
        "key-0": Completion("key-0", "of 0", "stop", prompt_tokens=11, completion_tokens=3),
        "key-1": Completion("key-1", "of 1", "length", prompt_tokens=11, completion_tokens=3),
    }


def test_an_empty_answer_is_an_answer_and_counts_are_none_where_the_server_gives_none(
    server: Server, engine_for: MakeEngine
) -> None:
    server.answer = lambda body, attempt: chat("", prompt_tokens=None)
    assert only(engine_for()) == Completion("key-0", "", "stop")
    assert len(server.bodies) == 1


def test_the_body_holds_what_was_asked_for_and_nothing_else(server: Server, engine_for: MakeEngine) -> None:
    only(engine_for())
    expected = {"temperature": 0.7, "top_p": 0.9, "max_tokens": 32, "seed": 0, "n": 1}
    assert server.bodies == [{"model": "served-a", "messages": [SYSTEM, USER], **expected}]


@pytest.mark.parametrize(
    ("settings", "top_k", "extra"),
    [
        ({}, 20, {"top_k": 20}),
        ({"vllm_template_kwargs": {"enable_thinking": False}}, 0, {}),
        ({"template_kwargs": {"enable_thinking": False}}, 0, {"chat_template_kwargs": {"enable_thinking": False}}),
        ({"template_kwargs": {}}, 0, {}),
    ],
)
def test_fields_beyond_the_openai_api_are_sent_only_where_set(
    server: Server, engine_for: MakeEngine, settings: Any, top_k: int, extra: dict[str, Any]
) -> None:
    completions(engine_for(**settings), requests(1, Sampling(0.7, 0.9, top_k, 32)))
    assert {key: value for key, value in server.bodies[0].items() if key not in PLAIN_KEYS} == extra


def test_vllm_server_is_told_what_it_would_take_from_the_model(server: Server, engine_for: MakeEngine) -> None:
    server.owner = "vllm"
    server.answer = lambda body, attempt: chat(prompt_tokens=10 * len(body["messages"]))
    engine = engine_for(vllm_template_kwargs={"enable_thinking": False})
    assert engine.check([SYSTEM, USER], [USER])
    completions(engine, requests(1, Sampling(0.7, 0.9, 0, 32)))
    sent = {"top_k": 0, "min_p": 0.0, "repetition_penalty": 1.0, "chat_template_kwargs": {"enable_thinking": False}}
    assert {key: value for key, value in server.bodies[-1].items() if key not in PLAIN_KEYS} == sent


@pytest.mark.parametrize(
    ("given", "in_env", "sent"), [(None, None, "EMPTY"), (None, "env", "env"), ("own", "env", "own")]
)
def test_the_key_comes_from_the_caller_then_the_environment(
    server: Server,
    engine_for: MakeEngine,
    monkeypatch: pytest.MonkeyPatch,
    given: str | None,
    in_env: str | None,
    sent: str,
) -> None:
    if in_env:
        monkeypatch.setenv("OPENAI_API_KEY", in_env)
    only(engine_for(api_key=given))
    assert server.keys == [f"Bearer {sent}"]


def test_a_broken_reply_is_tried_again_and_in_the_end_an_error_without_output(
    server: Server, engine_for: MakeEngine
) -> None:
    server.answer = lambda body, attempt: list(BROKEN.values())[body["seed"]]
    found = completions(engine_for(), requests(len(BROKEN)))
    for i, kind in enumerate(BROKEN):
        error = found[f"key-{i}"].error
        assert found[f"key-{i}"] == Completion(f"key-{i}", error=error), kind
        assert error, kind
        assert "\n" not in error, kind
        assert server.attempts[i] == 3, kind


def test_a_reply_that_is_broken_once_costs_one_more_request_and_no_answer(
    server: Server, engine_for: MakeEngine
) -> None:
    server.answer = lambda body, attempt: chat() if attempt else list(BROKEN.values())[body["seed"]]
    found = completions(engine_for(), requests(len(BROKEN)))
    for i, kind in enumerate(BROKEN):
        assert found[f"key-{i}"] == Completion(f"key-{i}", "2", "stop", 11, 3), kind
        assert server.attempts[i] == 2, kind
        first, second = [body for body in server.bodies if body["seed"] == i]
        assert first == second, kind


@pytest.mark.parametrize("trickle", [False, True])
def test_an_answer_that_does_not_come_in_time_is_asked_for_again(
    server: Server, engine_for: MakeEngine, trickle: bool
) -> None:
    server.answer = lambda body, attempt: Reply(body=chat().body, delay_s=5.0, trickle=trickle)
    assert only(engine_for(timeout_s=0.3, retries=1)).error == "no answer within 0.3 s"
    assert server.attempts[0] == 2


def test_an_error_of_the_request_itself_is_not_tried_again(server: Server, engine_for: MakeEngine) -> None:
    server.answer = lambda body, attempt: [*FINAL.values(), chat()][body["seed"]]
    found = completions(engine_for(), requests(len(FINAL) + 1))
    for i, kind in enumerate(FINAL):
        error = found[f"key-{i}"].error
        assert found[f"key-{i}"] == Completion(f"key-{i}", error=error, refused=kind in REFUSALS, final=True), kind
        assert error, kind
        assert server.attempts[i] == 1, kind
    assert found[f"key-{len(FINAL)}"].output == "2"


def test_an_error_names_status_and_the_first_line_of_the_servers_message(
    server: Server, engine_for: MakeEngine
) -> None:
    server.answer = lambda body, attempt: refusal(400, "prompt too long\nby far")
    assert only(engine_for()).error == "HTTP 400: prompt too long"


@pytest.mark.parametrize("as_date", [False, True])
def test_retry_after_is_honoured(server: Server, engine_for: MakeEngine, as_date: bool) -> None:
    def answer(body: dict[str, Any], attempt: int) -> Reply:
        # A date has whole seconds, so this one is 0.5 to 1.5 s ahead.
        wait = formatdate(time.time() + 1.5, usegmt=True) if as_date else "0.4"
        return refusal(429, Retry_After=wait) if attempt < limited else chat()

    limited = 1 if as_date else 2
    server.answer = answer
    assert only(engine_for()).output == "2"
    gaps = [later - sooner for sooner, later in zip(server.times, server.times[1:], strict=False)]
    assert len(gaps) == limited
    assert all(gap > 0.3 for gap in gaps)


def test_a_retry_after_that_makes_no_sense_is_no_wait(server: Server, engine_for: MakeEngine) -> None:
    values = ["soon", "nan", "-5"]
    server.answer = lambda body, attempt: refusal(429, Retry_After=values[attempt]) if attempt < 3 else chat()
    assert only(engine_for(retries=3)).output == "2"
    assert server.times[-1] - server.times[0] < 3.0


def test_waits_double_spread_by_key_and_are_the_same_every_time() -> None:
    waits = [backoff_s("key", attempt, 1.0) for attempt in range(4)]
    assert waits == [backoff_s("key", attempt, 1.0) for attempt in range(4)]
    assert all(0.5 * 2**i <= wait <= 1.5 * 2**i for i, wait in enumerate(waits))
    assert len({backoff_s(f"key-{i}", 0, 1.0) for i in range(100)}) == 100
    assert backoff_s("key", 30, 1.0) == 60.0
