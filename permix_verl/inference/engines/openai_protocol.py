"""Requests to, and replies of, an OpenAI-compatible server: completions, retryable errors and fatal ones."""

import hashlib
import json
import time
from collections.abc import Collection, Mapping, Sequence
from email.utils import mktime_tz, parsedate_tz
from typing import Any

from permix_verl.errors import UserError
from permix_verl.inference.engines import Completion, Sampling
from permix_verl.inference.served_model import Continuation

MAX_BACKOFF_S = 60.0
MAX_RETRY_AFTER_S = 600.0
CONNECT_TIMEOUT_S = 30.0
SHORTEST_KEY = 8
"""Characters of the shortest key that is redacted; stand-ins such as "EMPTY" are not."""
_REFUSAL_WORDS = (
    "unsupported",
    "not support",
    "unavailable",
    "not available",
    "unrecognized",
    "not permitted",
    "not allowed",
)


class AttemptError(Exception):
    """Attempt without a usable reply.

    Attributes:
        retryable: whether another attempt may succeed.
        wait_s: seconds to wait before it, at least.
        status: HTTP status, if any.
        refused: the model refuses to answer.
    """

    def __init__(
        self, text: str, retryable: bool, wait_s: float = 0.0, status: int | None = None, refused: bool = False
    ) -> None:
        super().__init__(text)
        self.retryable, self.wait_s, self.status, self.refused = retryable, wait_s, status, refused


def backoff_s(key: str, attempt: int, first_wait_s: float) -> float:
    """Return the seconds before the next attempt: doubling, times 0.5 to 1.5 by the request's key, to spread waits."""
    spread = int.from_bytes(hashlib.sha256(f"{key}/{attempt}".encode()).digest()[:4], "big") / 2**32
    return min(first_wait_s * 2.0**attempt * (0.5 + spread), MAX_BACKOFF_S)


def parse_completion(key: str, content: bytes) -> Completion:
    """Parse the reply to a chat completion request.

    Raises:
        AttemptError: a reply without a complete text, or a refusal.
    """
    body = _json_object(content)
    choices = body.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    if not isinstance(choice, dict):
        raise AttemptError("the reply has no choices", retryable=True)
    reason, message = choice.get("finish_reason"), choice.get("message")
    if not reason:
        raise AttemptError("the reply has no finish_reason", retryable=True)
    if reason not in ("stop", "length"):
        shown = one_line(str(reason))
        raise AttemptError(f"finish_reason {shown!r}", retryable=False, refused=reason == "content_filter")
    if isinstance(message, dict) and message.get("refusal"):
        raise AttemptError(f"the model refuses: {one_line(str(message['refusal']))!r}", retryable=False, refused=True)
    output = message.get("content") if isinstance(message, dict) else None
    if output is None and reason == "length" and isinstance(message, dict):
        output = ""  # all tokens went into hidden reasoning
    if not isinstance(output, str):
        raise AttemptError(f"the reply has no text (finish_reason {reason!r})", retryable=True)
    output = output.encode(errors="replace").decode()  # a lone surrogate cannot be written to a file
    return Completion(key, output, reason, _count(body, "prompt_tokens"), _count(body, "completion_tokens"))


def parse_prompt_tokens(content: bytes) -> int | None:
    """Return the number of prompt tokens in a reply; ``None`` if the server counts none."""
    return _count(_json_object(content), "prompt_tokens")


def parse_continuations(content: bytes, count: int) -> list[Continuation]:
    """Parse the reply to a completion request with log-probs, in the order of the prompts.

    Args:
        count: number of prompts.

    Raises:
        AttemptError: log-probs are missing.
    """
    try:
        choices = sorted(_json_object(content)["choices"], key=lambda choice: int(choice["index"]))
        continuations = [_continuation(choice["logprobs"]) for choice in choices]
    except (LookupError, TypeError, ValueError, AttributeError):
        continuations = []
    if len(continuations) != count:
        raise AttemptError("the reply has no log-probs", retryable=False)
    return continuations


def _continuation(log_probs: Mapping[str, Any]) -> Continuation:
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
        raise AttemptError(f"the reply is not a JSON object: {shown!r}", retryable=True)
    return body


def _count(body: Mapping[str, Any], name: str) -> int | None:
    usage = body.get("usage")
    count = usage.get(name) if isinstance(usage, dict) else None
    return count if isinstance(count, int) else None


def parse_retry_after(retry_after: str | None) -> float:
    """Return the seconds of a Retry-After header, a number or a date; 0 if it does not parse."""
    try:
        seconds = float(retry_after or 0)
    except ValueError:
        date = parsedate_tz(retry_after)
        seconds = mktime_tz(date) - time.time() if date else 0.0
    return min(seconds, MAX_RETRY_AFTER_S) if seconds > 0 else 0.0


def error_message(body: object, key: str = "") -> str:
    """Return the server's error message without the API key; in "message", or "detail" (FastAPI)."""
    if isinstance(body, dict):
        body = body.get("message") or body.get("detail") or body
    return one_line(redact_key(str(body or "no message"), key))


def refused_field(body: object, status: int, known: Sequence[str]) -> str | None:
    """Return the request field that a server refuses, from its "param" or, among ``known``, from its text."""
    if isinstance(body, dict) and body.get("param") is not None:
        return str(body["param"])
    text = str(body).lower()
    if status not in (400, 422) or not any(word in text for word in _REFUSAL_WORDS):
        return None
    return next((name for name in known if name in text), None)


def redact_key(text: str, key: str) -> str:
    """Replace the API key, which some servers repeat in their messages."""
    return text.replace(key, "***") if len(key) >= SHORTEST_KEY else text


def one_line(text: str) -> str:
    """Return the first line, at most 200 characters."""
    return (text.strip().splitlines() or [""])[0][:200]


def parameters(sampling: Sampling, seed: int, refused: Collection[str]) -> dict[str, Any]:
    """Return OpenAI's sampling parameters without those that the server refuses; the token limit has two names."""
    named = {"temperature": sampling.temperature, "top_p": sampling.top_p, "seed": seed}
    limit = "max_completion_tokens" if "max_tokens" in refused else "max_tokens"
    return {name: value for name, value in named.items() if name not in refused} | {limit: sampling.max_tokens}


def response_format(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return the ``response_format`` of OpenAI's structured output, which vLLM's server supports too."""
    return {"type": "json_schema", "json_schema": {"name": "reply", "strict": True, "schema": dict(schema)}}


def extra_fields(sampling: Sampling, template_kwargs: Mapping[str, Any], is_vllm: bool) -> dict[str, Any]:
    """Return the fields outside of OpenAI's API that are set; OpenAI refuses unknown fields.

    vLLM's server gets all of them: it takes missing ones from the model's generation_config.json.
    """
    fields: dict[str, Any] = {}
    if is_vllm:
        fields |= {"top_k": sampling.top_k, "min_p": 0.0, "repetition_penalty": 1.0}
    elif sampling.top_k > 0:
        fields["top_k"] = sampling.top_k
    if template_kwargs:
        fields["chat_template_kwargs"] = dict(template_kwargs)
    return fields


def unreachable_error(url: str, error: AttemptError) -> UserError:
    """Return the error for a server that no request has reached."""
    return UserError(f"cannot reach {url} ({error})", "start the server, or correct the URL")


def refused_error(url: str, model: str, error: AttemptError, served: Sequence[str], key_env: str) -> UserError:
    """Return the error for a refusal that every request would get.

    Args:
        served: names of the server's models; empty if it lists none.
    """
    if error.status in (401, 403):
        return UserError(f"{url} refuses the API key for {model!r} ({error})", f"set {key_env} to one it takes")
    if error.status != 404:
        return UserError(
            f"{url} fails a request for one token ({error})",
            f"see the server's log, and whether the chat template of {model!r} takes a system message",
        )
    if served and model not in served:
        return UserError(f"{url} has no model {model!r}; it serves {', '.join(served[:10])}", "name one of them")
    return UserError(
        f"{url} knows neither chat completions nor model {model!r} ({error})",
        "check both: the URL usually ends in /v1, as in http://localhost:8000/v1",
    )
