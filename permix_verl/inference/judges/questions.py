"""Questions to a judge, and the counts of one call."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from permix_verl.inference.engines import Sampling
from permix_verl.inference.judges.replies import Status
from permix_verl.inference.judges.store import Judgement
from permix_verl.personas.prompts import Message

Read = Callable[[str, str], tuple[Status, Any]]
"""(reply, finish reason) -> status and value."""


@dataclass(frozen=True)
class JudgeQuestion:
    """One question to a judge.

    Attributes:
        scoring, place, about: see :class:`~permix_verl.inference.judges.store.Judgement`.
        messages: the chat.
        read: parser of the reply.
        schema: JSON schema of the reply; ``None`` for a reply in free text.
        sampling: ``None`` for the judge's own.
    """

    scoring: str
    place: Sequence[Any]
    about: Sequence[str]
    messages: Sequence[Message]
    read: Read
    schema: Mapping[str, Any] | None = None
    sampling: Sampling | None = None


@dataclass
class JudgeTally:
    """Counts of one call, and the stored judgements.

    Attributes:
        replies: replies in this call.
        truncated: replies in this call that reached the token limit.
        prompt_tokens, completion_tokens: tokens of this call, as far as the engine counts them.
        failed: requests without a reply; the same command retries them.
        judgements: last judgement of each question, in the order of the questions; ``None`` where there is none.
    """

    replies: int = 0
    truncated: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    failed: int = 0
    judgements: list[Judgement | None] = field(default_factory=list)
