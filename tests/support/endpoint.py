"""An HTTP server on loopback with programmable failures, and helpers around it."""

import json
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from permix_verl.inference.engines import Completion, Engine, Request, Sampling
from permix_verl.inference.engines.openai import OpenAIEngine

MakeEngine = Callable[..., OpenAIEngine]
ROOT = Path(__file__).resolve().parents[2]
SAMPLING = Sampling(temperature=0.7, top_p=0.9, top_k=0, max_tokens=32)
SYSTEM = {"role": "system", "content": "You are a chef."}
USER = {"role": "user", "content": "1 + 1 = ?"}
PLAIN_KEYS = {"model", "messages", "temperature", "top_p", "max_tokens", "seed", "n"}


@dataclass
class Reply:
    """Reaction of the server to one request; ``drop`` closes the connection, ``trickle`` sends the body in pieces."""

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
        """Ignore clients that give up, as some tests make them do; print any other error."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class Server:
    """Server whose ``answer(body, attempt)`` returns the reaction; attempts are counted per seed, from 0."""

    def __init__(self) -> None:
        self.answer: Callable[[dict[str, Any], int], Reply] = lambda body, attempt: chat()
        self.models: list[str] | None = ["served-a", "served-b"]
        self.owner = "someone"
        self.record: dict[str, Any] = {}  # more fields of every model's record
        self.continue_texts: Callable[[list[str]], Reply] | None = None
        self.rendered = ""  # what vLLM's server makes of a chat
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
        with self._lock:  # before the reply: the client may send its next request at once
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
                if self.path == "/v1/completions" and server.continue_texts:
                    return self._send(server.continue_texts(body["prompt"]))
                if server.rendered and self.path in ("/tokenize", "/detokenize"):
                    given = {"tokens": [1]} if "messages" in body else {"prompt": server.rendered}
                    return self._send(Reply(body=given))
                if self.path != "/v1/chat/completions":
                    return self._send(refusal(404, "no such path"))
                return self._send(server._take(body, self.headers["Authorization"]))

            def do_GET(self) -> None:
                models = [{"id": name, "owned_by": server.owner} | server.record for name in server.models or ()]
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
                """Log nothing."""

        return Handler


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
"""Failures that a retry may cure."""

FINAL = {
    "status 400": refusal(400),
    "status 422": refusal(422),
    "content_filter": chat("", "content_filter"),
    "tool_calls": chat(None, "tool_calls"),
    "an unknown finish_reason": chat("2", "abort"),
    "a refusal": chat(None, refusal="I will not."),
}
"""Failures of this request alone."""
REFUSALS = ("content_filter", "a refusal")
"""Failures caused by the model's own output."""


def template(keeps_system: bool, default_system: int = 0) -> Callable[[dict[str, Any], int], Reply]:
    """A server that counts one token per character of the rendered chat template."""

    def answer(body: dict[str, Any], attempt: int) -> Reply:
        texts = {message["role"]: message["content"] for message in body["messages"]}
        system = len(texts["system"]) if keeps_system and "system" in texts else default_system
        return chat(None, "length", prompt_tokens=system + len(texts["user"]))

    return answer


def continued(shift: float = 0.0) -> Callable[[list[str]], Reply]:
    """A server that continues each text by the same two tokens, with log-probs shifted by a constant."""

    def answer(prompts: list[str]) -> Reply:
        top = [{"token_id:5": -0.5 + shift, "token_id:6": -1.5 - shift}, {"token_id:7": -0.1 - shift}]
        log_probs = {"tokens": ["token_id:5", "token_id:7"], "top_logprobs": top}
        return Reply(body={"choices": [{"index": number, "logprobs": log_probs} for number in range(len(prompts))]})

    return answer


def free_port() -> int:
    """Return a port without a listener."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
