"""Engines that generate completions: local vLLM, vLLM replicas under Ray, or an OpenAI-compatible endpoint.

The request loop uses only :class:`Engine`: it keeps an engine full and takes completions in any order.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from permix_verl.personas.prompts import Message


@dataclass(frozen=True, slots=True)
class Sampling:
    """Sampling parameters. ``top_k=0`` means no limit, as in transformers."""

    temperature: float
    top_p: float
    top_k: int
    max_tokens: int


@dataclass(frozen=True, slots=True)
class Request:
    """Request for one completion.

    Attributes:
        key: key of its row in the store.
        messages: the chat, for engines whose server renders it.
        prompt: rendered prompt, special tokens included; ``None`` if the server renders.
        seed: seed of this completion, below 2**31.
        schema: JSON schema for the completion, if the engine supports structured output.
    """

    key: str
    messages: Sequence[Message]
    prompt: str | None
    sampling: Sampling
    seed: int
    schema: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Completion:
    """Result of a request. With ``error`` set there is no output, and nothing to score.

    Attributes:
        finish_reason: "stop" or "length".
        prompt_tokens, completion_tokens: the engine's counts; ``None`` if it reports none.
        refused: with ``error``: the model refuses to answer.
        final: with ``error``: a retry cannot succeed.
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
    """Interface of an engine. Called from one thread."""

    def check_lengths(self, prompts: Sequence[str], max_tokens: int) -> None:
        """Check that prompts and completions fit into the model's context.

        Raises:
            UserError: they do not.
        """

    def room(self) -> int:
        """Return how many more requests the engine can use now."""

    def submit(self, requests: Sequence[Request]) -> None:
        """Submit requests, without waiting for their completions."""

    def collect(self) -> list[Completion]:
        """Return the completions since the last call; wait up to a second for the first."""

    def close(self) -> None:
        """Stop the engine; running requests are dropped."""
