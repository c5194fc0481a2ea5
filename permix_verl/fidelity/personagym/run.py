"""Run ``eval/personagym.py``: generate the missing answers, then request the missing judgements."""

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from permix_verl.evaluation.run import start_engine
from permix_verl.fidelity.personagym.judge_prompts import (
    Answers,
    ItemId,
    count_calls,
    example_questions,
    judge_questions,
)
from permix_verl.fidelity.personagym.session import (
    PersonagymSettings,
    PersonaQuestion,
    Session,
    chat_messages,
    check_results_folder,
    describe_settings,
    prepare,
)
from permix_verl.inference.engine_config import Render
from permix_verl.inference.engines import Completion, Request
from permix_verl.inference.jsonl_store import content_key
from permix_verl.inference.judges.ask import JudgeClient
from permix_verl.inference.judges.config import Judge
from permix_verl.inference.judges.questions import JudgeTally
from permix_verl.inference.judges.store import Answer, FidelityStore
from permix_verl.inference.model_exchange import RESULTS, same_model
from permix_verl.inference.request_loop import progress_bar, run_requests
from permix_verl.seeding import derive_seed
from permix_verl.utils.costs import cost_text


@dataclass
class PersonagymOutcome:
    """Counts of one call.

    Attributes:
        answers, judgements: number stored, and number requested in all.
        scored: judgements with a score.
        failed: requests without a reply; the same command retries them.
    """

    answers: tuple[int, int] = (0, 0)
    judgements: tuple[int, int] = (0, 0)
    scored: int = 0
    failed: int = 0


def run_personagym(settings: PersonagymSettings) -> PersonagymOutcome:
    """Complete the results folder.

    Raises:
        UserError: unusable settings, or a folder that holds another model's results.
    """
    session = prepare(settings)
    outcome = PersonagymOutcome()
    check_results_folder(session)
    store = FidelityStore(settings.options.out)
    with store.writing():
        store.begin(*describe_settings(session))
        answers = _complete_answers(session, store, outcome)
        examples: dict[ItemId, str | None] = {}
        if settings.judges and "official" in settings.scorings and settings.example_judge is not None:
            examples = _request_examples(session, store, settings.example_judge, answers, outcome)
        # One after another: local judges share the memory.
        tallies = [_judge(session, store, judge, answers, examples, outcome) for judge in settings.judges]
    rows = [row for tally in tallies for row in tally.judgements]
    outcome.judgements = sum(row is not None for row in rows), len(rows)
    outcome.scored = sum(row is not None and row.status == "scored" for row in rows)
    return outcome


def print_dry_run(settings: PersonagymSettings) -> None:
    """Print one prompt of each kind and the number of calls, without a request and without writing.

    Raises:
        UserError: as in :func:`run_personagym`.
    """
    session = prepare(settings)
    first = session.persona_questions[0]
    prompts = {"the model": chat_messages(first)}
    sample = Answer("", *first.item_id, first.text, "(the answer)", "stop", None, None, 0)
    for judge in settings.judges:
        for scoring in settings.scorings:
            questions = judge_questions(session, judge, scoring, {first.item_id: sample}, {})
            prompts[f"{judge.label}, {scoring}"] = list(questions[0].messages)
    for title, messages in prompts.items():
        print(f"--- prompt for {title}")
        for message in messages:
            print(f"[{message['role']}] {message['content']}")
    count, limit = len(session.persona_questions), session.sampling.max_tokens
    print(f"--- {count} answers of {settings.options.engine.model}, at most {limit} tokens each")
    for judge in settings.judges:
        calls = {scoring: count_calls(session, scoring) for scoring in settings.scorings}
        print(f"--- judge {judge.label}: {', '.join(f'{number} {scoring} calls' for scoring, number in calls.items())}")
    print("dry run: no request was sent and nothing was written")


def _complete_answers(session: Session, store: FidelityStore, outcome: PersonagymOutcome) -> dict[ItemId, Answer]:
    """Generate the missing answers, and return all stored ones by item id."""
    keys = _answer_keys(session)
    missing = {
        keys[item.item_id]: item for item in session.persona_questions if keys[item.item_id] not in store.answers.by_key
    }
    if missing:
        _generate_answers(session, store, missing, outcome)
    answers = {item_id: store.answers.by_key[key] for item_id, key in keys.items() if key in store.answers.by_key}
    outcome.answers = len(answers), len(session.persona_questions)
    return answers


def _answer_keys(session: Session) -> dict[ItemId, str]:
    options = session.settings.options
    settings = asdict(session.sampling) | {"seed": options.seed}
    template_kwargs = None if options.engine.template_kwargs is None else dict(options.engine.template_kwargs)
    return {
        item.item_id: content_key(
            "answer", session.identity, list(item.item_id), chat_messages(item), settings, template_kwargs
        )
        for item in session.persona_questions
    }


def _generate_answers(
    session: Session, store: FidelityStore, missing: Mapping[str, PersonaQuestion], outcome: PersonagymOutcome
) -> None:
    """Generate the answers to these questions, by key, and store them."""
    options = session.settings.options
    personas = [session.prompted[persona.key] for persona in session.personas]
    render = options.engine.renderer(options.personas, personas)
    requests = [_request(session, key, item, render) for key, item in missing.items()]
    seeds = {request.key: request.seed for request in requests}
    prompt_tokens = completion_tokens = 0

    def take(completions: Sequence[Completion]) -> list[Request]:
        nonlocal prompt_tokens, completion_tokens
        for completion in completions:
            item = missing[completion.key]
            if completion.error is not None:
                outcome.failed += 1
                store.note_failure(["answer", *item.item_id], options.engine.model, completion)
            else:
                prompt_tokens += completion.prompt_tokens or 0
                completion_tokens += completion.completion_tokens or 0
                store.answers.append(_answer(item, completion, seeds[completion.key]))
        bar.update(len(completions))
        bar.set_postfix(failed=outcome.failed, refresh=False)
        return []

    total = len(session.persona_questions)
    engine = start_engine(options, personas)
    with (
        contextlib.closing(engine),
        same_model(engine, options.out, options.engine.model, RESULTS),
        progress_bar(total, total - len(missing), "answer", "answers") as bar,
    ):
        if prompts := [request.prompt for request in requests if request.prompt is not None]:
            engine.check_lengths([max(prompts, key=len)], session.sampling.max_tokens)
        run_requests(engine, requests, take)
    print(f"answers of {options.engine.model}: {cost_text(prompt_tokens, completion_tokens, None)}")


def _request(session: Session, key: str, item: PersonaQuestion, render: Render | None) -> Request:
    chat = chat_messages(item)
    seed = derive_seed("permix.answer", session.settings.options.seed, item.number, key) % 2**31
    return Request(key, chat, render(chat) if render else None, session.sampling, seed)


def _answer(item: PersonaQuestion, completion: Completion, seed: int) -> Answer:
    return Answer(
        key=completion.key,
        persona=item.persona.key,
        task=item.task,
        question=item.number,
        asked=item.text,
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
    examples: Mapping[ItemId, str | None],
    outcome: PersonagymOutcome,
) -> JudgeTally:
    settings = session.settings
    questions = [
        question
        for scoring in settings.scorings
        for question in judge_questions(session, judge, scoring, answers, examples)
    ]
    tally = JudgeClient(judge, store, settings.attempts).ask_with_costs(questions)
    outcome.failed += tally.failed
    return tally


def _request_examples(
    session: Session, store: FidelityStore, judge: Judge, answers: Answers, outcome: PersonagymOutcome
) -> dict[ItemId, str | None]:
    """Request the score examples of every block; ``None`` where PersonaGym would crash on the reply."""
    questions = example_questions(session, answers)
    tally = JudgeClient(judge, store, 1).ask(questions, f"examples by {judge.label}")
    outcome.failed += tally.failed
    return {
        (str(question.place[0]), str(question.place[1]), int(question.place[2])): row.verdict if row else None
        for question, row in zip(questions, tally.judgements, strict=True)
    }
