"""``eval/personagym.py`` as a function: ask the model what is missing, then the judges."""

import contextlib
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from tqdm import tqdm

from permix_verl.evaluation.run import make_engine, make_renderer
from permix_verl.fidelity.personagym.judge_prompts import (
    Answers,
    Place,
    calls_wanted,
    example_questions,
    judge_questions,
)
from permix_verl.fidelity.personagym.session import (
    Asked,
    Session,
    Settings,
    chat_of,
    check_folder,
    described_settings,
    prepare,
)
from permix_verl.inference.engines import Completion, Request
from permix_verl.inference.jsonl_store import content_key
from permix_verl.inference.judges.ask import Asking, Tally
from permix_verl.inference.judges.config import Judge
from permix_verl.inference.judges.store import Answer, FidelityStore
from permix_verl.inference.model_exchange import RESULTS, same_model
from permix_verl.inference.request_loop import pump
from permix_verl.personas.mixing import hash_to_int
from permix_verl.utils.costs import cost_text


@dataclass
class Outcome:
    """What a call did.

    Attributes:
        answers, judgements: that are there now, of those wanted.
        scored: judgements that are scores.
        failed: requests that gave no reply; the same command asks again.
    """

    answers: tuple[int, int] = (0, 0)
    judgements: tuple[int, int] = (0, 0)
    scored: int = 0
    failed: int = 0


def run(settings: Settings) -> Outcome:
    """Complete the folder.

    Raises:
        UserError: anything that the user gave and that cannot be used.
    """
    session = prepare(settings)
    outcome = Outcome()
    check_folder(session)
    store = FidelityStore(settings.options.out)
    with store.writing():
        store.begin(*described_settings(session))
        answers = _answers(session, store, outcome)
        examples: dict[Place, str | None] = {}
        if settings.judges and "official" in settings.scorings and settings.example_judge is not None:
            examples = _examples(session, store, settings.example_judge, answers, outcome)
        # One after another: local judges share the memory.
        judged = [_judge(session, store, judge, answers, examples, outcome) for judge in settings.judges]
        wanted = sum(len(tally.verdicts) for tally in judged)
        found = sum(row is not None for tally in judged for row in tally.verdicts)
        outcome.judgements = found, wanted
        outcome.scored = sum(row is not None and row.status == "scored" for tally in judged for row in tally.verdicts)
    return outcome


def dry_run(settings: Settings) -> None:
    """Print a prompt of each kind, and what judging would cost; nobody is asked, nothing is written.

    Raises:
        UserError: as :func:`run`.
    """
    session = prepare(settings)
    first = session.asked[0]
    shown = {"the model": chat_of(first)}
    sample = Answer("", *first.place, first.text, "(the answer)", "stop", None, None, 0)
    for judge in settings.judges:
        for scoring in settings.scorings:
            questions = judge_questions(session, judge, scoring, {first.place: sample}, {})
            shown[f"{judge.label}, {scoring}"] = list(questions[0].messages)
    for title, messages in shown.items():
        print(f"--- asked of {title}")
        for message in messages:
            print(f"[{message['role']}] {message['content']}")
    most = session.sampling.max_tokens
    print(f"--- {len(session.asked)} answers of {settings.options.model}, {most} tokens each at most")
    for judge in settings.judges:
        calls = {scoring: calls_wanted(session, scoring) for scoring in settings.scorings}
        print(f"--- judge {judge.label}: {', '.join(f'{number} {scoring} calls' for scoring, number in calls.items())}")
    print("dry run: nobody was asked, and nothing is written")


def _answers(session: Session, store: FidelityStore, outcome: Outcome) -> dict[Place, Answer]:
    """All answers by place, those that are missing asked for."""
    options, sampling = session.settings.options, session.sampling
    arms = [session.spoken[persona.key] for persona in session.personas]
    settings = asdict(sampling) | {"seed": options.seed}
    template_kwargs = None if options.template_kwargs is None else dict(options.template_kwargs)
    chats = {asked.place: chat_of(asked) for asked in session.asked}
    keys = {
        place: content_key("answer", session.identity, list(place), chat, settings, template_kwargs)
        for place, chat in chats.items()
    }
    missing = [asked for asked in session.asked if keys[asked.place] not in store.answers.by_key]
    if missing:
        render = make_renderer(options, arms)
        by_key = {keys[asked.place]: asked for asked in missing}
        spent = [0, 0]

        def request(key: str, asked: Asked) -> Request:
            chat = chats[asked.place]
            seed = hash_to_int("permix.answer", options.seed, asked.number, key) % 2**31
            return Request(key, chat, render(chat) if render else None, sampling, seed)

        requests = [request(key, asked) for key, asked in by_key.items()]
        seeds = {one.key: one.seed for one in requests}

        def take(completions: Sequence[Completion]) -> list[Request]:
            for completion in completions:
                asked = by_key[completion.key]
                if completion.error is not None:
                    outcome.failed += 1
                    store.note_failure(["answer", *asked.place], options.model, completion)
                else:
                    spent[0] += completion.prompt_tokens or 0
                    spent[1] += completion.completion_tokens or 0
                    store.answers.append(_answer(asked, completion, seeds[completion.key]))
            bar.update(len(completions))
            bar.set_postfix(failed=outcome.failed, refresh=False)
            return []

        engine = make_engine(options, arms)
        with (
            contextlib.closing(engine),
            same_model(engine, options.out, options.model, RESULTS),
            tqdm(
                total=len(session.asked),
                initial=len(session.asked) - len(missing),
                desc="answers",
                unit="answer",
                mininterval=1 if sys.stderr.isatty() else 30,
                file=sys.stderr,
            ) as bar,
        ):
            if prompts := [one.prompt for one in requests if one.prompt is not None]:
                engine.check_lengths([max(prompts, key=len)], sampling.max_tokens)
            pump(engine, requests, take)
        print(f"answers of {options.model}: {cost_text(spent[0], spent[1], None)}")
    found = {
        asked.place: store.answers.by_key[keys[asked.place]]
        for asked in session.asked
        if keys[asked.place] in store.answers.by_key
    }
    outcome.answers = len(found), len(session.asked)
    return found


def _answer(asked: Asked, completion: Completion, seed: int) -> Answer:
    return Answer(
        key=completion.key,
        persona=asked.persona.key,
        task=asked.task,
        question=asked.number,
        asked=asked.text,
        output=completion.output,
        finish_reason=completion.finish_reason,
        prompt_tokens=completion.prompt_tokens,
        completion_tokens=completion.completion_tokens,
        seed=seed,
    )


def _judge(
    session: Session,
    store: FidelityStore,
    judge: Judge,
    answers: Answers,
    examples: Mapping[Place, str | None],
    outcome: Outcome,
) -> Tally:
    settings = session.settings
    questions = [
        question
        for scoring in settings.scorings
        for question in judge_questions(session, judge, scoring, answers, examples)
    ]
    asking = Asking(judge, store, settings.attempts)
    print(asking.expected(questions))
    tally = asking.ask(questions, judge.label)
    if tally.asked:
        took = cost_text(tally.prompt_tokens, tally.completion_tokens, judge.price)
        print(f"{judge.label}: {tally.asked} replies in this call, {took}")
    outcome.failed += tally.failed
    return tally


def _examples(
    session: Session, store: FidelityStore, judge: Judge, answers: Answers, outcome: Outcome
) -> dict[Place, str | None]:
    """Score examples by block, ``None`` where PersonaGym would crash on them."""
    questions = example_questions(session, answers)
    tally = Asking(judge, store, 1).ask(questions, f"examples by {judge.label}")
    outcome.failed += tally.failed
    return {
        (str(question.place[0]), str(question.place[1]), int(question.place[2])): row.verdict if row else None
        for question, row in zip(questions, tally.verdicts, strict=True)
    }
