"""Generate targets until each row has a usable one, has no attempts left, or has failed; store every text.

The store alone decides which requests are missing. A killed command therefore continues where it stopped, and no stored
attempt is paid for twice.
"""

import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from permix_verl.chat_templates.reading import spoken
from permix_verl.data.problems import Problem
from permix_verl.errors import UserError
from permix_verl.inference.engine_config import Render
from permix_verl.inference.engines import Completion, Engine, Request, Sampling
from permix_verl.inference.model_exchange import same_model
from permix_verl.inference.request_loop import progress_bar, run_requests
from permix_verl.personas.pool import NO_PERSONA, Persona
from permix_verl.personas.prompts import Message
from permix_verl.seeding import derive_seed
from permix_verl.sft_targets.store import TargetStore, TargetText, target_key

MIN_REPLIES_BEFORE_ABORT = 100
"""Texts after which generation is stopped if most of them are truncated."""

TargetStatus = Literal["right", "wrong", "cut", "empty"]
"""Status of a text: right or wrong final answer, truncated at the token limit, or without any text."""


@dataclass(frozen=True, slots=True)
class TargetRequest:
    """A row that needs a target."""

    problem: Problem
    persona: Persona | None

    @property
    def persona_key(self) -> str:
        """Key of the persona, or :data:`~permix_verl.personas.pool.NO_PERSONA`."""
        return self.persona.key if self.persona else NO_PERSONA


@dataclass(frozen=True)
class GenerationConfig:
    """Prompts, sampling and acceptance of targets.

    Attributes:
        model: identity of the model, with its ``name``.
        messages: builds the chat of a row.
        usable: statuses of texts that become targets.
        attempts: most texts per row, each with its own seed.
        seed: base seed of the attempts.
        render: chat -> prompt; ``None`` if the server renders.
    """

    model: Mapping[str, Any]
    messages: Callable[[TargetRequest], Sequence[Message]]
    sampling: Sampling
    usable: frozenset[TargetStatus]
    attempts: int
    seed: int
    render: Render | None

    @property
    def settings(self) -> Mapping[str, Any]:
        """Sampling parameters that are part of the cache key."""
        return asdict(self.sampling) | {"seed": self.seed}


@dataclass
class Targets:
    """Targets by row id, and counts.

    Attributes:
        texts: usable targets.
        statuses: status of the last attempt of every row that has one.
        failed: error of every row whose last request failed.
        attempts: texts per row, earlier calls included.
        generated, prompt_tokens, completion_tokens: texts and tokens of this call.
        truncated: texts of this call that reached the token limit.
    """

    texts: dict[str, str] = field(default_factory=dict)
    statuses: dict[str, TargetStatus] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    attempts: dict[str, int] = field(default_factory=dict)
    generated: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    truncated: int = 0


IsCorrect = Callable[[str, str], bool]
"""(text, gold) -> True if the text's final answer equals the gold."""
MakeTargetEngine = Callable[[Sequence[TargetRequest]], Engine]
"""Starts the engine, given the rows with missing texts; called only if there are some."""


def classify(text: TargetText, gold: str, is_correct: IsCorrect) -> TargetStatus:
    """Return the status of a stored text."""
    if text.finish_reason == "length":
        return "cut"
    if not spoken(text.output).strip():
        return "empty"
    return "right" if is_correct(text.output, gold) else "wrong"


def generate_targets(
    rows: Iterable[TargetRequest],
    config: GenerationConfig,
    store: TargetStore,
    start: MakeTargetEngine,
    is_correct: IsCorrect,
) -> Targets:
    """Generate targets for all rows. The store must be open (``store.writing()``).

    Args:
        start: starts the engine, which is closed at the end.
        is_correct: compares a text's final answer with the row's.

    Raises:
        UserError: most texts are truncated at the token limit, so further requests would be wasted.
    """
    rows = list(rows)
    generation = _TargetGeneration(config, store, is_correct)
    for row in rows:
        generation.consider(row)
    if not generation.queue:
        return generation.targets
    waiting_rows = [row for waiting in generation.waiting.values() for row in waiting.rows]
    model = str(config.model.get("name"))
    begun = any(text.model == model for text in store.texts.values())
    engine = start(waiting_rows)
    with (
        contextlib.closing(engine),
        same_model(engine, store.folder, model, ["targets.jsonl"], begun=begun, option="--store (STORE)"),
        progress_bar(len(rows), len(rows) - len(waiting_rows), "row", "targets") as bar,
    ):
        run_requests(engine, [*generation.queue], lambda completions: generation.take(completions, bar))
    return generation.targets


@dataclass(frozen=True, slots=True)
class _Waiting:
    """Rows that wait for one request; rows with the same chat share it."""

    attempt: int
    rows: list[TargetRequest]


class _TargetGeneration:
    """State of one call: rows that wait for a request, by key, and requests to submit next."""

    def __init__(self, config: GenerationConfig, store: TargetStore, is_correct: IsCorrect) -> None:
        self.config, self.store, self.is_correct = config, store, is_correct
        self.targets = Targets()
        self.waiting: dict[str, _Waiting] = {}
        self.queue: list[Request] = []

    def consider(self, row: TargetRequest) -> None:
        """Give the row its target, or queue its next attempt, or give it up."""
        config, targets = self.config, self.targets
        messages, row_id = config.messages(row), row.problem.row_id
        for attempt in range(config.attempts):
            key = target_key(config.model, messages, config.settings, attempt)
            text = self.store.texts.get(key)
            if text is None:
                if key not in self.waiting:
                    self.waiting[key] = _Waiting(attempt, [])
                    self.queue.append(_request(config, messages, attempt, key))
                self.waiting[key].rows.append(row)
                return
            targets.attempts[row_id] = attempt + 1
            targets.statuses[row_id] = classify(text, row.problem.final_answer, self.is_correct)
            if targets.statuses[row_id] in config.usable:
                targets.texts[row_id] = spoken(text.output).strip()
                return

    def take(self, completions: Sequence[Completion], bar: Any) -> list[Request]:
        """Store completions, and return the next attempts of rows without a usable text."""
        targets = self.targets
        self.queue.clear()
        finished = [(completion, self.waiting.pop(completion.key)) for completion in completions]
        for completion, waited in finished:  # all texts are stored before any is checked: they are paid for
            self._store(completion, waited)
        for completion, waited in finished:
            before = len(self.waiting)
            for row in waited.rows if completion.error is None else ():
                self.consider(row)
            bar.update(len(waited.rows) if len(self.waiting) == before else 0)
        bar.set_postfix(usable=len(targets.texts), failed=len(targets.failed), refresh=False)
        if targets.generated >= MIN_REPLIES_BEFORE_ABORT and 2 * targets.truncated > targets.generated:
            raise UserError(
                f"{targets.truncated} of {targets.generated} texts were truncated at "
                f"{self.config.sampling.max_tokens} tokens and cannot be targets (they are stored)",
                "raise MAX_TOKENS (--max-tokens), or shorten the reasoning, which counts too: --request-args "
                '{"reasoning_effort":"minimal"}',
            )
        return self.queue

    def _store(self, completion: Completion, waited: _Waiting) -> None:
        targets, first = self.targets, waited.rows[0]
        owner = {"key": completion.key, "row_id": first.problem.row_id, "persona": first.persona_key}
        targets.truncated += completion.finish_reason == "length"
        if completion.error is not None:
            targets.failed |= {row.problem.row_id: completion.error for row in waited.rows}
            self.store.append_failure({**owner, "attempt": waited.attempt, "error": completion.error})
            return
        targets.generated += 1
        targets.prompt_tokens += completion.prompt_tokens or 0
        targets.completion_tokens += completion.completion_tokens or 0
        self.store.append(
            TargetText(
                **owner,
                model=str(self.config.model.get("name")),
                attempt=waited.attempt,
                output=completion.output,
                finish_reason=completion.finish_reason,
                prompt_tokens=completion.prompt_tokens,
                completion_tokens=completion.completion_tokens,
            )
        )


def _request(config: GenerationConfig, messages: Sequence[Message], attempt: int, key: str) -> Request:
    return Request(
        key=key,
        messages=messages,
        prompt=config.render(messages) if config.render else None,
        sampling=config.sampling,
        seed=derive_seed("permix.target", config.seed, attempt, key) % 2**31,
    )
