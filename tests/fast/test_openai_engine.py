"""The endpoint engine against a real HTTP server on loopback that can be told to misbehave."""

import gc
import json
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from permix_verl.errors import UserError
from permix_verl.evaluation.engines import Completion, Engine, Request, Sampling
from permix_verl.evaluation.engines.openai_endpoint import OpenAIEngine
from permix_verl.evaluation.engines.openai_replies import backoff_s

MakeEngine = Callable[..., OpenAIEngine]
ROOT = Path(__file__).resolve().parents[2]
SAMPLING = Sampling(temperature=0.7, top_p=0.9, top_k=0, max_tokens=32)
SYSTEM = {"role": "system", "content": "You are a chef."}
USER = {"role": "user", "content": "1 + 1 = ?"}
PLAIN_KEYS = {"model", "messages", "temperature", "top_p", "max_tokens", "seed", "n"}


@dataclass
class Reply:
    """What the server does with one request; ``drop``: close the connection; ``trickle``: send the body in bits."""

    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    delay_s: float = 0.0
    drop: bool = False
    trickle: bool = False


def chat(content: Any = "2", finish_reason: Any = "stop", prompt_tokens: int | None = 11, **message: Any) -> Reply:
    choice = {"index": 0, "message": {"role": "assistant", "content": content, **message}}
    usage = {"usage": {"prompt_tokens": prompt_tokens, "completion_tokens": 3}} if prompt_tokens is not None else {}
    return Reply(body={"choices": [choice | {"finish_reason": finish_reason}], **usage})


def refusal(status: int, text: str = "no", **headers: str) -> Reply:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(status, {"error": {"message": text, "type": "x"}}, named)


class QuietServer(ThreadingHTTPServer):
    request_queue_size = 64
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that gives up is what some tests are about; anything else is shown."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class Server:
    """``answer(body, attempt)`` says what to do; attempts are counted per seed, from 0."""

    def __init__(self) -> None:
        self.answer: Callable[[dict[str, Any], int], Reply] = lambda body, attempt: chat()
        self.models: list[str] | None = ["served-a", "served-b"]
        self.owner = "someone"
        self.bodies: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.times: list[float] = []
        self.running = self.peak = 0
        self.attempts: Counter[int] = Counter()
        self._lock = threading.Lock()
        self.closing = threading.Event()
        self._http = QuietServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}/v1"
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def close(self) -> None:
        self.closing.set()
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()

    def _take(self, body: dict[str, Any], key: str | None) -> Reply:
        with self._lock:
            self.bodies.append(body)
            self.keys.append(key)
            self.times.append(time.monotonic())
            self.running += 1
            self.peak = max(self.peak, self.running)
            attempt = self.attempts[body["seed"]]
            self.attempts[body["seed"]] += 1
        reply = self.answer(body, attempt)
        self.closing.wait(0 if reply.trickle else reply.delay_s)
        with self._lock:  # before the reply is out: the client may send its next request at once
            self.running -= 1
        return reply

    def _handler(server: "Server") -> type[BaseHTTPRequestHandler]:  # noqa: N805
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                content = self.rfile.read(int(self.headers["Content-Length"]))
                if not content:  # the client was closed between head and body
                    return self._send(Reply(drop=True))
                body = json.loads(content)
                if self.path != "/v1/chat/completions":
                    return self._send(refusal(404, "no such path"))
                return self._send(server._take(body, self.headers["Authorization"]))

            def do_GET(self) -> None:
                models = [{"id": name, "owned_by": server.owner} for name in server.models or ()]
                listed = {"object": "list", "data": models}
                self._send(Reply(body=listed) if server.models is not None and "models" in self.path else refusal(404))

            def _send(self, reply: Reply) -> None:
                if reply.drop:
                    self.close_connection = True
                    return
                is_text = isinstance(reply.body, str)
                content = (reply.body if is_text else json.dumps(reply.body)).encode()
                headers = {"Content-Type": "text/html" if is_text else "application/json"} | reply.headers
                try:
                    self.send_response(reply.status)
                    for name, value in headers.items():
                        self.send_header(name, value)
                    self.send_header("Content-Length", str(len(content)))
                    self.end_headers()
                    for bit in [content[i : i + 1] for i in range(len(content))] if reply.trickle else [content]:
                        self.wfile.write(bit)
                        server.closing.wait(0.1 if reply.trickle else 0)
                except OSError:  # the client gave up waiting
                    self.close_connection = True

            def log_message(self, format: str, *args: Any) -> None:
                """Quiet."""

        return Handler


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loopback stays loopback on machines that go through a proxy."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.close()


@pytest.fixture
def engine_for(server: Server) -> Iterator[MakeEngine]:
    made: list[OpenAIEngine] = []

    def make(base_url: str = server.url, model: str = "served-a", **settings: Any) -> OpenAIEngine:
        made.append(OpenAIEngine(base_url, model, **{"retries": 2, "first_wait_s": 0.01, **settings}))
        return made[-1]

    yield make
    for engine in made:
        engine.close()


def requests(count: int, sampling: Sampling = SAMPLING) -> list[Request]:
    return [Request(f"key-{i}", [SYSTEM, USER], None, sampling, seed=i) for i in range(count)]


def completions(engine: Engine, wanted: Sequence[Request]) -> dict[str, Completion]:
    engine.submit(wanted)
    found: dict[str, Completion] = {}
    deadline = time.monotonic() + 20
    while len(found) < len(wanted):
        assert time.monotonic() < deadline, f"{len(found)} of {len(wanted)} completions"
        found |= {completion.key: completion for completion in engine.collect()}
    return found


def only(engine: Engine) -> Completion:
    return completions(engine, requests(1))["key-0"]


BROKEN = {
    "status 500": refusal(500),
    "status 503 with a page": Reply(503, "<html>\nbusy</html>"),
    "status 408": refusal(408),
    "status 409": refusal(409),
    "status 429": refusal(429),
    "a page": Reply(body="<html>hello</html>"),
    "a page called JSON": Reply(body="<html>hello</html>", headers={"Content-Type": "application/json"}),
    "a list": Reply(body=[1, 2]),
    "a closed connection": Reply(drop=True),
    "no choices": Reply(body={"usage": {}}),
    "empty choices": Reply(body={"choices": []}),
    "choices of text": Reply(body={"choices": ["2"]}),
    "no message": Reply(body={"choices": [{"finish_reason": "stop"}]}),
    "content null": chat(None),
    "content in parts": chat([{"type": "text", "text": "2"}]),
    "no finish_reason": chat(finish_reason=None),
}
"""Replies that another attempt may better."""

FINAL = {
    "status 400": refusal(400),
    "status 422": refusal(422),
    "content_filter": chat("", "content_filter"),
    "tool_calls": chat(None, "tool_calls"),
    "an unknown finish_reason": chat("2", "abort"),
}
"""Replies that are this one request's own error."""


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
        assert found[f"key-{i}"] == Completion(f"key-{i}", error=error), kind
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


def template(keeps_system: bool, default_system: int = 0) -> Callable[[dict[str, Any], int], Reply]:
    """A server that counts one token per character of what its chat template lets through."""

    def answer(body: dict[str, Any], attempt: int) -> Reply:
        texts = {message["role"]: message["content"] for message in body["messages"]}
        system = len(texts["system"]) if keeps_system and "system" in texts else default_system
        return chat(None, "length", prompt_tokens=system + len(texts["user"]))

    return answer


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
    code = "import permix_verl.evaluation.engines.openai_endpoint, sys; print('openai' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.split() == ["False"]


def free_port() -> int:
    """A port on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
