"""Ask judges until each question has a verdict, is refused or given up; keep every reply.

What is still to be asked follows from the store alone, so a command that was killed goes on with what is missing: a
reply that is stored is never paid for again.
"""

import contextlib
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tqdm import tqdm

from permix_verl.errors import UserError
from permix_verl.inference.engines import Completion, Engine, Request, Sampling
from permix_verl.inference.engines.openai import OpenAIEngine
from permix_verl.inference.jsonl_store import content_key
from permix_verl.inference.judges.config import Judge, version_of
from permix_verl.inference.judges.replies import FINAL, Status
from permix_verl.inference.judges.store import Judgement, JudgementStore
from permix_verl.inference.model_exchange import same_model
from permix_verl.inference.request_loop import pump
from permix_verl.personas.mixing import hash_to_int
from permix_verl.personas.prompts import Message
from permix_verl.utils.costs import cost_text

FEW = 100
"""Replies after which it is looked whether most are cut off."""
LETTERS = 4.0
"""Letters a token, for costs that are printed before anybody is asked: a rule of thumb for English."""

Read = Callable[[str, str], tuple[Status, Any]]
"""(reply, finish reason) -> status and verdict."""


@dataclass(frozen=True)
class Question:
    """Something that a judge is to say.

    Attributes:
        scoring, place, about: see :class:`~permix_verl.inference.judges.store.Judgement`.
        messages: the chat.
        read: what its reply means.
        schema: JSON schema of the reply, if it is to have one.
        sampling: ``None`` is the judge's own.
    """

    scoring: str
    place: Sequence[Any]
    about: Sequence[str]
    messages: Sequence[Message]
    read: Read
    schema: Mapping[str, Any] | None = None
    sampling: Sampling | None = None


@dataclass
class Tally:
    """What asking took, and what it came to.

    Attributes:
        asked: replies in this call.
        prompt_tokens, completion_tokens: of these, as far as the engine counts them.
        failed: requests that gave no reply; the same command asks them again.
        verdicts: last judgement of each question, in the questions' order; ``None`` where there is none.
    """

    asked: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    failed: int = 0
    verdicts: list[Judgement | None] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Open:
    question: Question
    attempt: int
    key: str


class Asking:
    """One judge's part."""

    def __init__(self, judge: Judge, store: JudgementStore, attempts: int) -> None:
        self._judge, self._store, self._attempts = judge, store, attempts
        self._identity = judge.identity()
        self._version = version_of(self._identity)

    def key(self, question: Question, attempt: int) -> str:
        """Of a reply: judge, place, prompt, sampling and attempt."""
        sampling = None if question.sampling is None else [question.sampling.temperature, question.sampling.max_tokens]
        asked = [question.scoring, list(question.place), list(question.messages), question.schema, sampling]
        return content_key("judgement", self._judge.label, self._identity, asked, attempt)

    def last(self, question: Question) -> Judgement | None:
        """Its last judgement that is stored."""
        found = None
        for attempt in range(self._attempts):
            judgement = self._store.judgements.by_key.get(self.key(question, attempt))
            if judgement is None:
                break
            found = judgement
            if judgement.status in FINAL:
                break
        return found

    def missing(self, questions: Iterable[Question]) -> list[_Open]:
        """What is to be asked now: the next attempt of each question without a verdict."""
        return [opened for question in questions if (opened := self._next(question))]

    def expected(self, questions: Sequence[Question]) -> str:
        """Calls, tokens and dollars to be expected, before anybody is asked."""
        missing = self.missing(questions)
        letters = sum(len(message["content"]) for opened in missing for message in opened.question.messages)
        replies = sum(60 if opened.question.schema else 400 for opened in missing)
        tokens = cost_text(round(letters / LETTERS), replies, self._judge.price)
        return f"{len(missing)} calls to {self._judge.label}, about {tokens} (a guess from {LETTERS:g} letters a token)"

    def ask(self, questions: Sequence[Question], title: str) -> Tally:
        """Ask what is missing.

        Raises:
            UserError: the judge cannot be asked at all, or most of its replies are cut off.
        """
        tally = Tally()
        opened = self.missing(questions)
        if opened:
            self._ask(opened, title, tally)
        tally.verdicts = [self.last(question) for question in questions]
        return tally

    def _next(self, question: Question) -> _Open | None:
        for attempt in range(self._attempts):
            key = self.key(question, attempt)
            judgement = self._store.judgements.by_key.get(key)
            if judgement is None:
                return _Open(question, attempt, key)
            if judgement.status in FINAL:
                return None
        return None

    def _ask(self, opened: Sequence[_Open], title: str, tally: Tally) -> None:
        judge = self._judge
        render = judge.renderer()
        waiting = {one.key: one for one in opened}
        cut = 0

        def request(one: _Open) -> Request:
            return Request(
                key=one.key,
                messages=one.question.messages,
                prompt=render(one.question.messages) if render else None,
                sampling=one.question.sampling or judge.sampling,
                seed=hash_to_int("permix.judgement", 0, one.attempt, one.key) % 2**31,
                schema=judge.schema(one.question.schema),
            )

        def take(completions: Sequence[Completion]) -> list[Request]:
            nonlocal cut
            again: list[Request] = []
            for completion in completions:
                one = waiting.pop(completion.key)
                if completion.error is not None and not (completion.refused or completion.final):
                    tally.failed += 1
                    self._store.note_failure([one.question.scoring, *one.question.place], judge.label, completion)
                else:
                    kept = self._keep(one, completion)
                    tally.asked += 1
                    tally.prompt_tokens += completion.prompt_tokens or 0
                    tally.completion_tokens += completion.completion_tokens or 0
                    cut += kept.status == "cut"
                    if following := self._next(one.question) if kept.status not in FINAL else None:
                        waiting[following.key] = following
                        again.append(request(following))
                        continue
                bar.update()
            bar.set_postfix(failed=tally.failed, refresh=False)
            if tally.asked >= FEW and 2 * cut > tally.asked:
                raise UserError(
                    f"{cut} of {tally.asked} replies of {judge.label} were cut off at {judge.max_tokens} tokens; they "
                    'are kept. Raise its limit, {"model": ..., "max_tokens": 4096}, or let it think less, '
                    '{"request_args": {"reasoning_effort": "minimal"}}'
                )
            return again

        mininterval = 1 if sys.stderr.isatty() else 30
        requests = [request(one) for one in opened]
        begun = any(row.judge == judge.label for row in self._store.judgements.by_key.values())
        engine = judge.start()
        with (
            contextlib.closing(engine),
            same_model(engine, self._store.folder, judge.label, ["judgements.jsonl"], begun=begun),
            tqdm(total=len(opened), desc=title, unit="call", mininterval=mininterval, file=sys.stderr) as bar,
        ):
            _check_lengths(engine, judge, requests)
            pump(engine, requests, take)
            if isinstance(engine, OpenAIEngine) and engine.refused:
                left_out = ", ".join(sorted(engine.refused))
                print(f"{judge.label} was asked without {left_out}, which its server does not take")

    def _keep(self, one: _Open, completion: Completion) -> Judgement:
        status: Status
        if completion.error is not None:
            status, verdict, reply = "refused" if completion.refused else "rejected", None, completion.error
        else:
            reply = completion.output
            status, verdict = one.question.read(reply, completion.finish_reason)
        judgement = Judgement(
            key=one.key,
            scoring=one.question.scoring,
            judge=self._judge.label,
            version=self._version,
            place=list(one.question.place),
            about=list(one.question.about),
            attempt=one.attempt,
            reply=reply,
            finish_reason=completion.finish_reason,
            status=status,
            verdict=verdict,
            prompt_tokens=completion.prompt_tokens,
            completion_tokens=completion.completion_tokens,
        )
        self._store.judgements.append(judgement)
        return judgement


def _check_lengths(engine: Engine, judge: Judge, requests: Sequence[Request]) -> None:
    """Refuse a judge whose context is too short, before anything is asked."""
    for limit in {request.sampling.max_tokens for request in requests}:
        prompts = [request.prompt for request in requests if request.prompt and request.sampling.max_tokens == limit]
        try:
            if prompts:
                engine.check_lengths([max(prompts, key=len)], limit)
        except UserError as error:
            raise UserError(
                f"judge {judge.label}: {str(error).split(';')[0]}; take a judge with a longer one, or give it "
                '{"engine_args": {"max_model_len": ...}} or fewer "max_tokens"'
            ) from None
