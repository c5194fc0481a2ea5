"""Ask judges until each question has a score, is refused or has failed; store every reply.

The store alone decides which requests are missing. A killed command therefore continues where it stopped, and no stored
reply is paid for twice.
"""

import contextlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from permix_verl.errors import UserError
from permix_verl.inference.engine_config import Render
from permix_verl.inference.engines import Completion, Engine, Request
from permix_verl.inference.engines.openai import OpenAIEngine
from permix_verl.inference.jsonl_store import content_key
from permix_verl.inference.judges.config import Judge, version_of
from permix_verl.inference.judges.questions import JudgeQuestion, JudgeTally
from permix_verl.inference.judges.replies import FINAL_STATUSES, Status
from permix_verl.inference.judges.store import Judgement, JudgementStore
from permix_verl.inference.model_exchange import same_model
from permix_verl.inference.request_loop import progress_bar, run_requests
from permix_verl.seeding import derive_seed
from permix_verl.utils.costs import cost_text

MIN_REPLIES_BEFORE_ABORT = 100
"""Replies after which a judge is stopped if most of them are truncated."""
CHARS_PER_TOKEN = 4.0
"""Rule of thumb for English, for the cost estimate before the first request."""


@dataclass(frozen=True, slots=True)
class _PendingCall:
    question: JudgeQuestion
    attempt: int
    key: str


class JudgeClient:
    """Requests to one judge, and their stored replies.

    Args:
        attempts: most replies to a question, until one parses.
    """

    def __init__(self, judge: Judge, store: JudgementStore, attempts: int) -> None:
        self._judge, self._store, self._attempts = judge, store, attempts
        self._identity = judge.identity()
        self._version = version_of(self._identity)

    def key(self, question: JudgeQuestion, attempt: int) -> str:
        """Return the cache key of a reply: a hash of judge, item, prompt, sampling and attempt."""
        sampling = None if question.sampling is None else [question.sampling.temperature, question.sampling.max_tokens]
        content = [question.scoring, list(question.place), list(question.messages), question.schema, sampling]
        return content_key("judgement", self._judge.label, self._identity, content, attempt)

    def last(self, question: JudgeQuestion) -> Judgement | None:
        """Return the question's last stored judgement."""
        last = None
        for attempt in range(self._attempts):
            judgement = self._store.judgements.by_key.get(self.key(question, attempt))
            if judgement is None:
                break
            last = judgement
            if judgement.status in FINAL_STATUSES:
                break
        return last

    def missing(self, questions: Iterable[JudgeQuestion]) -> list[_PendingCall]:
        """Return the next attempt of each question that has no final judgement."""
        return [call for question in questions if (call := self._next(question))]

    def expected(self, questions: Sequence[JudgeQuestion]) -> str:
        """Estimate calls, tokens and dollars before the first request."""
        missing = self.missing(questions)
        chars = sum(len(message["content"]) for call in missing for message in call.question.messages)
        reply_tokens = sum(60 if call.question.schema else 400 for call in missing)
        cost = cost_text(round(chars / CHARS_PER_TOKEN), reply_tokens, self._judge.price)
        label = self._judge.label
        return f"{len(missing)} calls to {label}, about {cost} (estimated at {CHARS_PER_TOKEN:g} characters per token)"

    def ask(self, questions: Sequence[JudgeQuestion], title: str) -> JudgeTally:
        """Send the missing requests.

        Args:
            title: label of the progress bar.

        Raises:
            UserError: the judge cannot be reached, or most of its replies are truncated.
        """
        tally = JudgeTally()
        calls = self.missing(questions)
        if calls:
            self._ask(calls, title, tally)
        tally.judgements = [self.last(question) for question in questions]
        return tally

    def ask_with_costs(self, questions: Sequence[JudgeQuestion]) -> JudgeTally:
        """Print the expected cost, send the missing requests, and print the actual cost.

        Raises:
            UserError: as in :meth:`ask`.
        """
        judge = self._judge
        print(self.expected(questions))
        tally = self.ask(questions, judge.label)
        if tally.replies:
            cost = cost_text(tally.prompt_tokens, tally.completion_tokens, judge.price)
            print(f"{judge.label}: {tally.replies} replies in this call, {cost}")
        return tally

    def _next(self, question: JudgeQuestion) -> _PendingCall | None:
        for attempt in range(self._attempts):
            key = self.key(question, attempt)
            judgement = self._store.judgements.by_key.get(key)
            if judgement is None:
                return _PendingCall(question, attempt, key)
            if judgement.status in FINAL_STATUSES:
                return None
        return None

    def _ask(self, calls: Sequence[_PendingCall], title: str, tally: JudgeTally) -> None:
        judge = self._judge
        render = judge.renderer()
        pending = {call.key: call for call in calls}

        def take(completions: Sequence[Completion]) -> list[Request]:
            retries: list[Request] = []
            for completion in completions:
                following = self._record(pending.pop(completion.key), completion, tally)
                if following is None:
                    bar.update()
                else:
                    pending[following.key] = following
                    retries.append(self._request(following, render))
            bar.set_postfix(failed=tally.failed, refresh=False)
            self._check_truncated(tally)
            return retries

        requests = [self._request(call, render) for call in calls]
        begun = any(row.judge == judge.label for row in self._store.judgements.by_key.values())
        engine = judge.start()
        with (
            contextlib.closing(engine),
            same_model(engine, self._store.folder, judge.label, ["judgements.jsonl"], begun=begun),
            progress_bar(len(calls), 0, "call", title) as bar,
        ):
            _check_lengths(engine, judge, requests)
            run_requests(engine, requests, take)
            if isinstance(engine, OpenAIEngine) and engine.refused:
                left_out = ", ".join(sorted(engine.refused))
                print(f"{judge.label}: requests were sent without {left_out}, which its server refuses")

    def _request(self, call: _PendingCall, render: Render | None) -> Request:
        return Request(
            key=call.key,
            messages=call.question.messages,
            prompt=render(call.question.messages) if render else None,
            sampling=call.question.sampling or self._judge.sampling,
            seed=derive_seed("permix.judgement", 0, call.attempt, call.key) % 2**31,
            schema=self._judge.schema(call.question.schema),
        )

    def _record(self, call: _PendingCall, completion: Completion, tally: JudgeTally) -> _PendingCall | None:
        """Store and count a reply or a failure; return the question's next attempt, if one is due."""
        if completion.error is not None and not (completion.refused or completion.final):
            tally.failed += 1
            self._store.note_failure([call.question.scoring, *call.question.place], self._judge.label, completion)
            return None
        judgement = self._store_reply(call, completion)
        tally.replies += 1
        tally.prompt_tokens += completion.prompt_tokens or 0
        tally.completion_tokens += completion.completion_tokens or 0
        tally.truncated += judgement.status == "cut"
        return None if judgement.status in FINAL_STATUSES else self._next(call.question)

    def _check_truncated(self, tally: JudgeTally) -> None:
        if tally.replies >= MIN_REPLIES_BEFORE_ABORT and 2 * tally.truncated > tally.replies:
            judge = self._judge
            raise UserError(
                f"{tally.truncated} of {tally.replies} replies of {judge.label} were truncated at {judge.max_tokens} "
                "tokens and are stored",
                'raise its limit, {"model": ..., "max_tokens": 4096}, or shorten its reasoning, '
                '{"request_args": {"reasoning_effort": "minimal"}}',
            )

    def _store_reply(self, call: _PendingCall, completion: Completion) -> Judgement:
        status: Status
        if completion.error is not None:
            status, value, reply = "refused" if completion.refused else "rejected", None, completion.error
        else:
            reply = completion.output
            status, value = call.question.read(reply, completion.finish_reason)
        judgement = Judgement(
            key=call.key,
            scoring=call.question.scoring,
            judge=self._judge.label,
            version=self._version,
            place=list(call.question.place),
            about=list(call.question.about),
            attempt=call.attempt,
            reply=reply,
            finish_reason=completion.finish_reason,
            status=status,
            verdict=value,
            prompt_tokens=completion.prompt_tokens,
            completion_tokens=completion.completion_tokens,
        )
        self._store.judgements.append(judgement)
        return judgement


def _check_lengths(engine: Engine, judge: Judge, requests: Sequence[Request]) -> None:
    """Refuse a judge whose context is too short for its longest prompt."""
    for limit in {request.sampling.max_tokens for request in requests}:
        prompts = [request.prompt for request in requests if request.prompt and request.sampling.max_tokens == limit]
        try:
            if prompts:
                engine.check_lengths([max(prompts, key=len)], limit)
        except UserError as error:
            raise UserError(
                f"judge {judge.label}: {str(error).split(';')[0]}",
                'take a judge with a longer context, or give it {"engine_args": {"max_model_len": ...}} or '
                'fewer "max_tokens"',
            ) from None
