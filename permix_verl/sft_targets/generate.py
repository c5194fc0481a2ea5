"""Ask an engine for targets until each is usable, given up, or failed; keep everything that comes back.

What is still to be asked follows from the store alone, so a command that was killed goes on with what is missing: an
attempt that is stored is never paid for again.
"""

import contextlib
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from tqdm import tqdm

from permix_verl.data.problems import Problem
from permix_verl.errors import UserError
from permix_verl.evaluation.sampling_plan import Render
from permix_verl.inference.engines import Completion, Engine, Request, Sampling
from permix_verl.inference.model_exchange import same_model
from permix_verl.inference.request_loop import pump
from permix_verl.personas.mixing import hash_to_int
from permix_verl.personas.pool import NO_PERSONA, Persona
from permix_verl.personas.prompts import Message
from permix_verl.sft_targets.store import Text, TextStore, text_key

FEW = 100
"""Texts after which it is looked whether most are cut off."""

Fate = Literal["right", "wrong", "cut", "empty"]
"""Of a text: its answer is right or wrong, it was cut off at the token limit, or it says nothing."""


@dataclass(frozen=True, slots=True)
class Want:
    """A row that wants a target."""

    problem: Problem
    persona: Persona | None

    @property
    def persona_key(self) -> str:
        return self.persona.key if self.persona else NO_PERSONA


@dataclass(frozen=True)
class Asking:
    """How targets are asked for, and which are good enough.

    Attributes:
        model: identity of the model that answers, with its ``name``.
        messages: the chat of a row.
        usable: fates of texts that are kept.
        attempts: how often a row may be asked, each with a seed of its own.
        render: chat -> prompt; ``None`` where the server renders.
    """

    model: Mapping[str, Any]
    messages: Callable[[Want], Sequence[Message]]
    sampling: Sampling
    usable: frozenset[Fate]
    attempts: int
    seed: int
    render: Render | None

    @property
    def settings(self) -> Mapping[str, Any]:
        """What of the sampling belongs to a text's identity."""
        return asdict(self.sampling) | {"seed": self.seed}


@dataclass
class Targets:
    """What came of it, by row id.

    Attributes:
        texts: usable targets.
        fates: of the last attempt of every row that was answered.
        failed: rows whose request gave no text at all: why.
        attempts: texts that a row has had, earlier calls' included.
        asked, prompt_tokens, completion_tokens: of this call.
    """

    texts: dict[str, str] = field(default_factory=dict)
    fates: dict[str, Fate] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    attempts: dict[str, int] = field(default_factory=dict)
    asked: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0


Judge = Callable[[str, str], bool]
"""(text, gold) -> whether its answer is right."""


def fate_of(text: Text, gold: str, judge: Judge) -> Fate:
    """What a stored text is good for."""
    if text.finish_reason == "length":
        return "cut"
    if not text.output.strip():
        return "empty"
    return "right" if judge(text.output, gold) else "wrong"


Start = Callable[[Sequence[Want]], Engine]
"""Makes the engine, given the rows that are to be asked; called only if there are some."""


def obtain(wants: Iterable[Want], asking: Asking, store: TextStore, start: Start, judge: Judge) -> Targets:
    """Targets for all rows; the store must be held (``store.writing()``).

    Args:
        start: the engine is closed at the end.
        judge: compares a text's answer with the row's.

    Raises:
        UserError: most texts are cut off at the token limit, so that going on would be paid for in vain.
    """
    targets = Targets()
    waiting: dict[str, _Waiting] = {}
    queue: list[Request] = []

    def consider(want: Want) -> None:
        """Give the row its target, or queue its next attempt, or give it up."""
        messages, row_id = asking.messages(want), want.problem.row_id
        for attempt in range(asking.attempts):
            key = text_key(asking.model, messages, asking.settings, attempt)
            text = store.texts.get(key)
            if text is None:
                if key not in waiting:
                    waiting[key] = _Waiting(attempt, [])
                    queue.append(_request(asking, messages, attempt, key))
                waiting[key].rows.append(want)
                return
            targets.attempts[row_id] = attempt + 1
            targets.fates[row_id] = fate_of(text, want.problem.final_answer, judge)
            if targets.fates[row_id] in asking.usable:
                targets.texts[row_id] = text.output.strip()
                return

    wants = list(wants)
    for want in wants:
        consider(want)
    if not queue:
        return targets
    engine = start([want for one in waiting.values() for want in one.rows])
    done = len(wants) - sum(len(one.rows) for one in waiting.values())
    cut = 0
    who = str(asking.model.get("name"))
    begun = any(text.model == who for text in store.texts.values())
    with (
        contextlib.closing(engine),
        same_model(engine, store.folder, who, ["targets.jsonl"], begun=begun, other="--store (STORE)"),
        _progress(len(wants), done) as bar,
    ):

        def take(completions: Sequence[Completion]) -> list[Request]:
            nonlocal cut
            queue.clear()
            finished = [(completion, waiting.pop(completion.key)) for completion in completions]
            for completion, waited in finished:  # all of them, before any answer is looked at: they are paid for
                _keep(completion, waited, asking, store, targets)
                cut += completion.finish_reason == "length"
            for completion, waited in finished:
                before = len(waiting)
                for want in waited.rows if completion.error is None else ():
                    consider(want)
                bar.update(len(waited.rows) if len(waiting) == before else 0)
            bar.set_postfix(usable=len(targets.texts), failed=len(targets.failed), refresh=False)
            if targets.asked >= FEW and 2 * cut > targets.asked:
                raise UserError(
                    f"{cut} of {targets.asked} texts were cut off at {asking.sampling.max_tokens} tokens, so they are "
                    "no targets; they are kept. Raise MAX_TOKENS (--max-tokens); reasoning models think within it: "
                    '--request-args {"reasoning_effort":"minimal"} makes them think less'
                )
            return queue

        pump(engine, [*queue], take)
    return targets


def _progress(total: int, done: int) -> Any:
    return tqdm(
        total=total,
        initial=done,
        desc="targets",
        unit="row",
        mininterval=1 if sys.stderr.isatty() else 30,
        file=sys.stderr,
    )


@dataclass(frozen=True, slots=True)
class _Waiting:
    """Rows that wait for one request; several, where they ask the same."""

    attempt: int
    rows: list[Want]


def _keep(completion: Completion, waited: _Waiting, asking: Asking, store: TextStore, targets: Targets) -> None:
    first = waited.rows[0]
    whose = {"key": completion.key, "row_id": first.problem.row_id, "persona": first.persona_key}
    if completion.error is not None:
        targets.failed |= {want.problem.row_id: completion.error for want in waited.rows}
        store.append_failure({**whose, "attempt": waited.attempt, "error": completion.error})
        return
    targets.asked += 1
    targets.prompt_tokens += completion.prompt_tokens or 0
    targets.completion_tokens += completion.completion_tokens or 0
    store.append(
        Text(
            **whose,
            model=str(asking.model.get("name")),
            attempt=waited.attempt,
            output=completion.output,
            finish_reason=completion.finish_reason,
            prompt_tokens=completion.prompt_tokens,
            completion_tokens=completion.completion_tokens,
        )
    )


def _request(asking: Asking, messages: Sequence[Message], attempt: int, key: str) -> Request:
    return Request(
        key=key,
        messages=messages,
        prompt=asking.render(messages) if asking.render else None,
        sampling=asking.sampling,
        seed=hash_to_int("permix.target", asking.seed, attempt, key) % 2**31,
    )
