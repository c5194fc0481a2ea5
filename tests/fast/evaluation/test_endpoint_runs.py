"""The endpoint engine: what ends a run, how much runs at once, and the check before the first request."""

import datetime
import gc
import subprocess
import sys
import threading
import time
from typing import Any

import pytest

from permix_verl.errors import UserError
from permix_verl.inference.engines.openai import OpenAIEngine

from ...support.endpoint import (
    ROOT,
    SYSTEM,
    USER,
    MakeEngine,
    Reply,
    Server,
    chat,
    completions,
    free_port,
    refusal,
    requests,
    template,
)


@pytest.mark.parametrize(("status", "told"), [(401, "API key"), (403, "API key"), (404, "served-a, served-b")])
def test_what_would_fail_every_request_ends_the_run(
    server: Server, engine_for: MakeEngine, status: int, told: str
) -> None:
    server.answer = lambda body, attempt: refusal(status, "sorry")
    engine = engine_for(model="other", concurrency=2)
    with pytest.raises(UserError, match=told) as raised:
        completions(engine, requests(20))
    assert server.url in str(raised.value)
    assert "'other'" in str(raised.value)
    assert "\n" not in str(raised.value)
    assert len(server.bodies) <= 4
    began = time.monotonic()
    with pytest.raises(UserError, match=told):
        engine.collect()
    assert time.monotonic() - began < 0.5


def test_what_finished_before_the_run_ended_is_handed_out_first(server: Server, engine_for: MakeEngine) -> None:
    server.answer = lambda body, attempt: chat() if body["seed"] < 2 else refusal(401)
    engine = engine_for(concurrency=1)
    engine.submit(requests(4))
    while not server.attempts[2]:
        time.sleep(0.01)
    time.sleep(0.3)  # for the refusal to arrive
    found: list[str] = []

    def collect_all() -> None:
        while True:
            found.extend(completion.key for completion in engine.collect())

    with pytest.raises(UserError, match="API key"):
        collect_all()
    assert found == ["key-0", "key-1"]


def test_a_server_that_was_never_reached_ends_the_run(engine_for: MakeEngine) -> None:
    url = f"http://127.0.0.1:{free_port()}/v1"
    engine = engine_for(url, concurrency=2, retries=1)
    with pytest.raises(UserError, match="cannot reach") as raised:
        completions(engine, requests(20))
    assert url in str(raised.value)


def test_a_server_that_was_reached_once_and_is_lost_gives_errors(server: Server, engine_for: MakeEngine) -> None:
    server.answer = lambda body, attempt: Reply(drop=True) if body["seed"] else chat()
    found = completions(engine_for(concurrency=1, retries=1), requests(8))
    assert [completion.error is None for _, completion in sorted(found.items())] == [True] + [False] * 7
    assert "connection failed" in str(found["key-3"].error)


def test_never_more_requests_at_once_than_allowed_and_all_slots_in_use(server: Server, engine_for: MakeEngine) -> None:
    full = threading.Event()

    def answer(body: dict[str, Any], attempt: int) -> Reply:
        if server.running >= 4:
            full.set()
        full.wait(5)
        return Reply(body=chat().body, delay_s=0.02) if attempt else refusal(500)

    server.answer = answer
    assert len(completions(engine_for(concurrency=4), requests(24))) == 24
    assert server.peak == 4


def test_room_counts_what_was_not_collected_and_submit_does_not_wait(server: Server, engine_for: MakeEngine) -> None:
    released = threading.Event()
    server.answer = lambda body, attempt: chat() if released.wait(20) else refusal(500)
    engine = engine_for(concurrency=2)
    assert engine.room() == 4
    engine.submit(requests(3))
    assert engine.room() == 1
    assert engine.collect() == []
    released.set()
    finished = 0
    while finished < 3:
        finished += len(engine.collect())
        assert engine.room() == 1 + finished
    engine.submit(requests(9))
    assert engine.room() == 0


def test_check_passes_a_template_that_keeps_the_system_message(server: Server, engine_for: MakeEngine) -> None:
    server.answer = template(keeps_system=True)
    assert engine_for().check([SYSTEM, USER], [USER]) is True
    assert [body["max_tokens"] for body in server.bodies] == [1, 1]


def test_check_refuses_a_template_that_drops_the_system_message(server: Server, engine_for: MakeEngine) -> None:
    server.answer = template(keeps_system=False)
    with pytest.raises(UserError, match=r"'served-a' .*drops the system message.*; use another model"):
        engine_for().check([SYSTEM, USER], [USER])


def test_check_passes_a_short_persona_that_replaces_a_longer_default_of_the_template(
    server: Server, engine_for: MakeEngine
) -> None:
    server.answer = template(keeps_system=True, default_system=300)
    assert engine_for().check([SYSTEM, USER], [USER]) is True
    server.answer = template(keeps_system=False, default_system=300)
    with pytest.raises(UserError, match="drops the system message"):
        engine_for().check([SYSTEM, USER], [USER])


def test_system_messages_go_into_the_users_turn_where_the_server_takes_none(
    server: Server, engine_for: MakeEngine, capsys: pytest.CaptureFixture[str]
) -> None:
    server.answer = template(keeps_system=False)
    engine = engine_for(system_role="auto")
    assert engine.check([SYSTEM, USER], [USER]) is True
    assert "drops the system message" in capsys.readouterr().out
    server.answer = lambda body, attempt: chat()
    completions(engine, requests(2))
    merged = {"role": "user", "content": f"{SYSTEM['content']}\n\n{USER['content']}"}
    assert [body["messages"] for body in server.bodies[-2:]] == [[merged], [merged]]


def test_a_server_that_refuses_system_messages_gets_none(server: Server, engine_for: MakeEngine) -> None:
    def answer(body: dict[str, Any], attempt: int) -> Reply:
        if body["messages"][0]["role"] == "system":
            return refusal(400, "System role not supported")
        return template(keeps_system=False)(body, attempt)

    server.answer = answer
    assert engine_for(system_role="auto").check([SYSTEM, USER], [USER]) is True
    with pytest.raises(UserError, match="System role not supported"):
        engine_for(system_role="system").check([SYSTEM, USER], [USER])


def test_system_messages_stay_where_they_are_if_the_server_takes_them(server: Server, engine_for: MakeEngine) -> None:
    server.answer = template(keeps_system=True)
    engine = engine_for(system_role="auto")
    engine.check([SYSTEM, USER], [USER])
    assert server.bodies[0]["messages"] == [SYSTEM, USER]
    asked = engine_for(system_role="user")
    asked.check([SYSTEM, USER], [USER])
    assert [len(body["messages"]) for body in server.bodies[-2:]] == [1, 1]


def test_what_fails_for_another_reason_is_told_as_it_is(server: Server, engine_for: MakeEngine) -> None:
    server.answer = lambda body, attempt: refusal(401, "bad key")
    with pytest.raises(UserError, match="refuses the API key"):
        engine_for(system_role="auto").check([SYSTEM, USER], [USER])


@pytest.mark.parametrize(("day", "refused"), [(datetime.date.today(), True), (datetime.date(2024, 7, 26), False)])
def test_prompts_with_todays_date_are_refused(
    server: Server, engine_for: MakeEngine, day: datetime.date, refused: bool
) -> None:
    server.owner = "vllm"
    server.answer = template(keeps_system=True)
    server.rendered = f"<system>Today is {day:%d %B %Y}.<user>1 + 1 = ?"
    check = engine_for(system_role="auto").check
    if refused:
        with pytest.raises(UserError, match=r"writes today's date .* --chat-template FILE"):
            check([SYSTEM, USER], [USER])
    else:
        assert check([SYSTEM, USER], [USER]) is True


def test_check_cannot_tell_where_the_server_counts_no_tokens(server: Server, engine_for: MakeEngine) -> None:
    server.answer = lambda body, attempt: chat(prompt_tokens=None)
    assert engine_for().check([SYSTEM, USER], [USER]) is False


@pytest.mark.parametrize(
    ("reply", "models", "told"),
    [
        (refusal(404), ["a", "b"], "has no model 'served-a'; it serves a, b;"),
        (refusal(404), None, "knows neither chat completions nor model 'served-a' .*usually ends in /v1"),
        (refusal(404), ["served-a"], "knows neither chat completions nor model 'served-a'"),
        (refusal(401, "bad key"), None, "refuses the API key for 'served-a' .HTTP 401: bad key.; set OPENAI_API_KEY"),
        (refusal(400, "System role not supported"), None, "System role not supported.*takes a system message"),
        (Reply(body="<html>welcome</html>"), None, "not a JSON object: '<html>welcome"),
        (Reply(drop=True), None, "cannot reach .*connection failed.*; start the server"),
    ],
)
def test_check_says_what_is_wrong_with_server_key_or_model(
    server: Server, engine_for: MakeEngine, reply: Reply, models: list[str] | None, told: str
) -> None:
    server.answer, server.models = lambda body, attempt: reply, models
    with pytest.raises(UserError, match=told) as raised:
        engine_for().check([SYSTEM, USER], [USER])
    assert server.url in str(raised.value)
    assert "\n" not in str(raised.value)


def test_check_says_that_nothing_listens(engine_for: MakeEngine) -> None:
    url = f"http://127.0.0.1:{free_port()}/v1"
    with pytest.raises(UserError, match=f"cannot reach {url}"):
        engine_for(url).check([SYSTEM, USER], [USER])


def test_check_says_that_the_url_lacks_its_path(server: Server, engine_for: MakeEngine) -> None:
    with pytest.raises(UserError, match="usually ends in /v1"):
        engine_for(server.url.removesuffix("/v1")).check([SYSTEM, USER], [USER])


def test_close_drops_what_runs_and_leaves_no_thread_task_or_warning(
    server: Server,
    engine_for: MakeEngine,
    caplog: pytest.LogCaptureFixture,
    recwarn: pytest.WarningsRecorder,
) -> None:
    server.answer = lambda body, attempt: Reply(delay_s=5.0, body={}) if body["seed"] % 2 else refusal(500)
    engine = engine_for(concurrency=4, first_wait_s=30.0)
    engine.submit(requests(8))
    while len(server.bodies) < 4:
        time.sleep(0.01)
    began = time.monotonic()
    engine.close()
    engine.close()
    assert time.monotonic() - began < 3.0
    assert "openai-engine" not in {thread.name for thread in threading.enumerate()}
    del engine
    gc.collect()
    assert [record.getMessage() for record in caplog.records if record.name == "asyncio"] == []
    assert [str(warning.message) for warning in recwarn if warning.category is not DeprecationWarning] == []


@pytest.mark.parametrize("url", ["localhost:8000/v1", "", "ftp://host/v1", "http://", "http://host:port/v1"])
def test_what_is_no_url_is_refused_at_once(url: str) -> None:
    with pytest.raises(UserError, match=r"not an http\(s\) URL"):
        OpenAIEngine(url, "model")


@pytest.mark.parametrize("settings", [{"concurrency": 0}, {"retries": -1}, {"timeout_s": 0}])
def test_numbers_out_of_range_are_refused_at_once(settings: Any) -> None:
    with pytest.raises(UserError, match="out of range"):
        OpenAIEngine("http://127.0.0.1:1/v1", "model", **settings)


def test_importing_the_engine_does_not_import_the_client() -> None:
    code = "import permix_verl.inference.engines.openai, sys; print('openai' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.split() == ["False"]
