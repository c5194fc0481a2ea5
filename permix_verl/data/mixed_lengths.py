"""Prompt lengths of chats of any form under every persona of a pool.

The rule of ``permix_verl.data.prompt_lengths`` on the rows' real messages: several turns, tool messages, content parts.
Images count for nothing here. A persona joined to a row's own text in one system message is tokenized across their
border, which moves a length by a token or two: less than the margin within which every persona is measured.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from permix_verl.data.prompt_lengths import PromptLengths
from permix_verl.data.system_message import compose, split_system, system_text
from permix_verl.errors import UserError
from permix_verl.personas.mixing import PersonaDraw
from permix_verl.personas.pool import Persona
from permix_verl.personas.prompts import check_template, count_tokens, persona_survives, render

Chat = Sequence[Mapping[str, Any]]
OwnAndOthers = tuple[str | None, Chat]
"""A row's own system text, or ``None``, and its other messages."""


class MixedLengths:
    """Measures the prompts of rows under all personas of a draw's pool.

    Raises:
        UserError: a chat template that drops a persona, or refuses a row's messages.
    """

    def __init__(
        self, tokenizer: Any, draw: PersonaDraw, template_kwargs: Mapping[str, Any], policy: str, limit: int
    ) -> None:
        self.tokenizer, self.template_kwargs, self.policy, self.limit = tokenizer, template_kwargs, policy, limit
        self.mixes = draw.no_persona_probability < 1
        self._known: dict[bytes, int] = {}  # hash of a chat -> its longest prompt: many rows may ask one problem
        if self.mixes:
            check_template(tokenizer, draw.pool, template_kwargs)
            self._lengths = _ChatLengths(tokenizer, draw, template_kwargs, policy)

    def longest(self, rows: Sequence[OwnAndOthers]) -> list[int]:
        """Return the prompt tokens of each row under the condition that makes its prompt longest."""
        keys = list(map(_digest, rows))
        new = {key: row for key, row in zip(keys, rows, strict=True) if key not in self._known}
        self._known.update(zip(new, self._measured(list(new.values())), strict=True))
        return [self._known[key] for key in keys]

    def _measured(self, rows: Sequence[OwnAndOthers]) -> list[int]:
        if self.mixes:
            return self._lengths.longest(rows, self.limit)  # type: ignore[arg-type]
        chats = [compose(None, own, others, self.policy) for own, others in rows]
        return count_tokens(self.tokenizer, [render(self.tokenizer, chat, self.template_kwargs) for chat in chats])

    def fit(self, chats: Sequence[Chat]) -> list[bool]:
        """Return whether each chat without personas is within the limit under all of them."""
        return [length <= self.limit for length in self.longest([split_system(chat) for chat in chats])]


def _digest(row: OwnAndOthers) -> bytes:
    return hashlib.blake2b(json.dumps(row, default=str).encode(), digest_size=16).digest()


class _ChatLengths(PromptLengths):
    """Prompt lengths where a problem is a row's own system text and its other messages."""

    def __init__(self, tokenizer: Any, draw: PersonaDraw, template_kwargs: Mapping[str, Any], policy: str) -> None:
        self.policy = policy
        super().__init__(tokenizer, draw.pool, template_kwargs)

    def _render(self, question: str | OwnAndOthers, persona: Persona | None) -> str:  # type: ignore[override]
        if isinstance(question, str):  # a probe
            return super()._render(question, persona)
        own, others = question
        rendered = render(self.tokenizer, compose(persona, own, others, self.policy), self.template_kwargs)
        text = system_text(persona, own, self.policy)
        if text is not None and not persona_survives(rendered, text):
            raise UserError(
                f"the system message {text[:60]!r} is not in the rendered prompt {rendered[:120]!r}",
                "use a model whose chat template keeps the system message in chats of this form",
            )
        return rendered
