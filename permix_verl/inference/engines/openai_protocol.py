"""What an OpenAI-compatible server's replies mean: an answer, an error worth another attempt, or the end of the run."""

import hashlib
import json
import os
import time
from collections.abc import Collection, Mapping, Sequence
from email.utils import mktime_tz, parsedate_tz
from typing import Any
from urllib.parse import urlsplit

from permix_verl.errors import UserError
from permix_verl.inference.engines import Completion, Sampling
from permix_verl.inference.served_model import Greedy

MAX_BACKOFF_S = 60.0
MAX_RETRY_AFTER_S = 600.0
CONNECT_TIMEOUT_S = 30.0
SHORTEST_KEY = 8
_UNWANTED = (
    "unsupported",
    "not support",
    "unavailable",
    "not available",
    "unrecognized",
    "not permitted",
    "not allowed",
)


class AttemptError(Exception):
    """One attempt gave no usable reply; ``again`` says whether another one may, ``refused`` that the model will not."""

    def __init__(
        self, text: str, again: bool, wait_s: float = 0.0, status: int | None = None, refused: bool = False
    ) -> None:
        super().__init__(text)
        self.again, self.wait_s, self.status, self.refused = again, wait_s, status, refused


def backoff_s(key: str, attempt: int, first_wait_s: float) -> float:
    """Seconds before the next attempt: doubling, times 0.5 to 1.5 by the request's key, so that waits spread."""
    spread = int.from_bytes(hashlib.sha256(f"{key}/{attempt}".encode()).digest()[:4], "big") / 2**32
    return min(first_wait_s * 2.0**attempt * (0.5 + spread), MAX_BACKOFF_S)


def completion_of(key: str, content: bytes) -> Completion:
    """The one sample of a reply, or an :class:`AttemptError`; never an output that the server did not give."""
    body = _json_object(content)
    choices = body.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    if not isinstance(choice, dict):
        raise AttemptError("the reply has no choices", again=True)
    reason, message = choice.get("finish_reason"), choice.get("message")
    if not reason:
        raise AttemptError("the reply has no finish_reason", again=True)
    if reason not in ("stop", "length"):
        shown = one_line(str(reason))
        raise AttemptError(f"finish_reason {shown!r}", again=False, refused=reason == "content_filter")
    if isinstance(message, dict) and message.get("refusal"):
        raise AttemptError(f"the model refuses: {one_line(str(message['refusal']))!r}", again=False, refused=True)
    output = message.get("content") if isinstance(message, dict) else None
    if output is None and reason == "length" and isinstance(message, dict):
        output = ""  # all of its tokens went into reasoning that is not shown
    if not isinstance(output, str):
        raise AttemptError(f"the reply has no text (finish_reason {reason!r})", again=True)
    output = output.encode(errors="replace").decode()  # half a surrogate pair is no text, and no file takes it
    return Completion(key, output, reason, _count(body, "prompt_tokens"), _count(body, "completion_tokens"))


def prompt_tokens_of(content: bytes) -> int | None:
    return _count(_json_object(content), "prompt_tokens")


def greedy_of(content: bytes, wanted: int) -> list[Greedy]:
    """The continuations of a reply to several prompts, in the prompts' order, or an :class:`AttemptError`.

    Args:
        wanted: number of prompts.
    """
    try:
        choices = sorted(_json_object(content)["choices"], key=lambda choice: int(choice["index"]))
        found = [_greedy(choice["logprobs"]) for choice in choices]
    except (LookupError, TypeError, ValueError, AttributeError):
        found = []
    if len(found) != wanted:
        raise AttemptError("the reply has no log-probs", again=False)
    return found


def _greedy(log_probs: Mapping[str, Any]) -> Greedy:
    return [
        (str(token), {str(name): float(value) for name, value in top.items()})
        for token, top in zip(log_probs["tokens"], log_probs["top_logprobs"], strict=True)
    ]


def _json_object(content: bytes) -> dict[str, Any]:
    try:
        body = json.loads(content)
    except ValueError:
        body = None
    if not isinstance(body, dict):
        shown = one_line(content.decode(errors="replace"))
        raise AttemptError(f"the reply is not a JSON object: {shown!r}", again=True)
    return body


def _count(body: Mapping[str, Any], name: str) -> int | None:
    usage = body.get("usage")
    count = usage.get(name) if isinstance(usage, dict) else None
    return count if isinstance(count, int) else None


def asked_wait_s(retry_after: str | None) -> float:
    """Seconds that a Retry-After header asks for, as a number or a date; 0 where it cannot be read."""
    try:
        seconds = float(retry_after or 0)
    except ValueError:
        date = parsedate_tz(retry_after)
        seconds = mktime_tz(date) - time.time() if date else 0.0
    return min(seconds, MAX_RETRY_AFTER_S) if seconds > 0 else 0.0


def server_text(body: object, key: str = "") -> str:
    """What the server says is wrong, without the API key; usually at "message", FastAPI's own is "detail"."""
    if isinstance(body, dict):
        body = body.get("message") or body.get("detail") or body
    return one_line(without_key(str(body or "no message"), key))


def unwanted(body: object, status: int, known: Sequence[str]) -> str | None:
    """The parameter that a server says it does not take, if it names one of these: in a field, or in its text."""
    if isinstance(body, dict) and body.get("param") is not None:
        return str(body["param"])
    said = str(body).lower()
    if status not in (400, 422) or not any(word in said for word in _UNWANTED):
        return None
    return next((name for name in known if name in said), None)


def without_key(text: str, key: str) -> str:
    """The same without the API key, which some servers repeat in what they say; stand-ins such as "EMPTY" stay."""
    return text.replace(key, "***") if len(key) >= SHORTEST_KEY else text


def one_line(text: str) -> str:
    return (text.strip().splitlines() or [""])[0][:200]


def parameters(sampling: Sampling, seed: int, refused: Collection[str]) -> dict[str, Any]:
    """OpenAI's own sampling parameters, without those that the server refuses; the length limit has two names."""
    named = {"temperature": sampling.temperature, "top_p": sampling.top_p, "seed": seed}
    limit = "max_completion_tokens" if "max_tokens" in refused else "max_tokens"
    return {name: value for name, value in named.items() if name not in refused} | {limit: sampling.max_tokens}


def response_format(schema: Mapping[str, Any]) -> dict[str, Any]:
    """OpenAI's structured output, which vLLM's server takes too."""
    return {"type": "json_schema", "json_schema": {"name": "reply", "strict": True, "schema": dict(schema)}}


def extra_fields(sampling: Sampling, template_kwargs: Mapping[str, Any], is_vllm: bool) -> dict[str, Any]:
    """What is not part of OpenAI's own API, and only where it is set: OpenAI refuses unknown fields.

    vLLM's server is told everything: what it is not told it takes from the model's generation_config.json.
    """
    fields: dict[str, Any] = {}
    if is_vllm:
        fields |= {"top_k": sampling.top_k, "min_p": 0.0, "repetition_penalty": 1.0}
    elif sampling.top_k > 0:
        fields["top_k"] = sampling.top_k
    if template_kwargs:
        fields["chat_template_kwargs"] = dict(template_kwargs)
    return fields


def unreachable(url: str, error: AttemptError) -> UserError:
    return UserError(f"cannot reach {url} ({error}); start the server, or correct the URL")


def refused(url: str, model: str, error: AttemptError, served: Sequence[str], key_env: str) -> UserError:
    """The user's view of a reply that any request would get; ``served`` are the server's models, if it lists them."""
    if error.status in (401, 403):
        return UserError(f"{url} refuses the API key for {model!r} ({error}); set {key_env} to one it takes")
    if error.status != 404:
        return UserError(
            f"{url} fails a request for one token ({error}); see the server's log, and whether the chat template "
            f"of {model!r} takes a system message"
        )
    if served and model not in served:
        return UserError(f"{url} has no model {model!r}; it serves {', '.join(served[:10])}; name one of them")
    return UserError(
        f"{url} knows neither chat completions nor model {model!r} ({error}); "
        "check both: the URL usually ends in /v1, as in http://localhost:8000/v1"
    )


def check_settings(base_url: str, concurrency: int, retries: int, timeout_s: float) -> None:
    try:
        url = urlsplit(base_url)
        usable = url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0
    except ValueError:  # such as a port that is no number
        usable = False
    if not usable:
        raise UserError(f"not an http(s) URL: {base_url!r}; give one such as http://localhost:8000/v1")
    if url.username or url.password or url.query:
        raise UserError(
            f"the URL of {url.hostname} holds more than a place; leave that out: keys come from the environment"
        )
    if concurrency < 1 or retries < 0 or timeout_s <= 0:
        raise UserError(
            f"concurrency {concurrency}, retries {retries}, timeout {timeout_s} s: out of range; "
            "give at least 1, at least 0, above 0"
        )


def new_client(base_url: str, api_key: str | None, timeout_s: float) -> Any:
    try:
        import openai
    except ImportError:
        raise UserError("the package openai is not installed, and endpoints need it; pip install openai") from None
    key = (api_key or os.environ.get("OPENAI_API_KEY") or "EMPTY").strip()
    if not key.isascii() or not key.isprintable() or " " in key:
        raise UserError(f"the API key for {base_url} holds what no HTTP header takes; set it again, without line ends")
    return openai.AsyncOpenAI(
        base_url=base_url,
        api_key=key,
        timeout=openai.Timeout(timeout_s, connect=min(timeout_s, CONNECT_TIMEOUT_S)),
        max_retries=0,
    )
