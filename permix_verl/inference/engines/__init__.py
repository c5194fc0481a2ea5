"""What generates: local vLLM, vLLM replicas under Ray, or an OpenAI-compatible endpoint.

The evaluation loop knows only :class:`Engine`: it keeps an engine full and stores what
comes back, in whatever order that is.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from permix_verl.personas.prompts import Message


@dataclass(frozen=True, slots=True)
class Sampling:
    """How answers are drawn. ``top_k=0`` means no limit, as in transformers."""

    temperature: float
    top_p: float
    top_k: int
    max_tokens: int


@dataclass(frozen=True, slots=True)
class Request:
    """One sample that is wanted.

    Attributes:
        key: identity of its row in the store.
        messages: the chat, for engines whose server renders it.
        prompt: the rendered prompt, special tokens included; ``None`` where the server renders.
        seed: of this one sample, below 2**31.
        schema: JSON schema that the answer is to follow, where the engine can make it.
    """

    key: str
    messages: Sequence[Message]
    prompt: str | None
    sampling: Sampling
    seed: int
    schema: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Completion:
    """What an engine made of a request; with ``error`` set there is no output, and none is to be scored.

    Attributes:
        finish_reason: "stop" or "length", as the engine names it.
        prompt_tokens, completion_tokens: as the engine counts them; ``None`` where it does not say.
        refused: with ``error``: the model will not answer this.
        final: with ``error``: no further attempt changes that.
    """

    key: str
    output: str = ""
    finish_reason: str = ""
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    error: str | None = None
    refused: bool = False
    final: bool = False


class Engine(Protocol):
    """Takes requests, gives completions. Called from one thread."""

    def check_lengths(self, prompts: Sequence[str], max_tokens: int) -> None:
        """Refuse prompts that leave no room for an answer, before anything is generated."""

    def room(self) -> int:
        """How many more requests it can use now."""

    def submit(self, requests: Sequence[Request]) -> None:
        """Take requests; does not wait for them."""

    def collect(self) -> list[Completion]:
        """What finished since the last call; waits a moment, not for ever, if nothing did."""

    def close(self) -> None:
        """End what it started; requests still running are dropped."""
