"""``data_prep/gsm8k_sft.py`` as a function: say what will be asked, ask, write, say what it took."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from permix_verl.errors import UserError
from permix_verl.evaluation.options import DEFAULT_TEMPLATE_KWARGS, Options
from permix_verl.evaluation.run import identity_of, make_engine, make_renderer
from permix_verl.evaluation.scoring import load_reward
from permix_verl.inference import engines
from permix_verl.inference.engines.openai import OpenAIEngine
from permix_verl.personas.pool import Persona
from permix_verl.personas.prompts import Message, build_messages, count_tokens, render
from permix_verl.sft_targets.generate import Asking, Want
from permix_verl.sft_targets.ground_truth import boxed_solution
from permix_verl.sft_targets.prepare import SupervisedData
from permix_verl.sft_targets.rewriting import rewriting_messages
from permix_verl.sft_targets.settings import USABLE, SupervisedPreparation
from permix_verl.sft_targets.store import TextStore
from permix_verl.utils.costs import cost_text

SHOWN = 10
"""Prompts that a dry run prints."""
LAB = "lab"
"""As a rewriter: the lab's own, which is a program."""


@dataclass(frozen=True)
class Engine:
    """Who is asked for targets, and how.

    Attributes:
        model: hub name, folder, name that an endpoint serves, or :data:`LAB`.
        store: folder that keeps every text.
        attempts: most texts of a rewriter for a row; a teacher is asked once.
        temperature: ``None`` is 1 for a rewriter and 0 for a teacher.
    """

    model: str
    store: Path = Path("targets")
    base_url: str | None = None
    attempts: int = 4
    temperature: float | None = None
    max_tokens: int = 1024
    template_kwargs: Mapping[str, Any] | None = None
    concurrency: int = 64
    retries: int = 5
    request_args: Mapping[str, Any] = field(default_factory=dict)
    tensor_parallel_size: int = 1
    data_parallel_size: int = 1
    engine_args: Mapping[str, Any] = field(default_factory=dict)


def prepare_supervised(
    settings: SupervisedPreparation, engine: Engine, *, dry_run: bool = False
) -> dict[str, Any] | None:
    """Write the data set; its manifest, or ``None`` of a dry run.

    Raises:
        UserError: anything that was given and cannot be used; requests that failed.
    """
    if settings.kind == "gt":
        data = SupervisedData(settings)
        if dry_run:
            _show(data, None)
            return None
        data.take_own_targets()
        return data.write({"model": None})
    _check(settings, engine)
    options = _options(settings, engine)
    data = SupervisedData(settings)
    asked = data.asked()
    arms = list(dict.fromkeys(want.persona for want in asked))
    asking = _asking(settings, engine, options, arms)
    if dry_run:
        _show(data, asking)
        return None
    reward = load_reward()
    made: list[engines.Engine] = []

    def start(wants: Sequence[Want]) -> engines.Engine:
        if engine.model != LAB:
            print(f"{len(wants)} of {len(asked)} rows to be asked, {_expected(data, wants, asking)}")
        made.append(_make(engine, options, arms))
        return made[0]

    def right(text: str, gold: str) -> bool:
        return bool(reward.compute_score("", text, gold)["status"] == "correct")

    try:
        with TextStore(engine.store).writing() as store:
            data.take_targets(asking, store, start, right)
    finally:
        reward.close()
    targets = data.targets
    print(f"texts by {engine.model}: {_counted(data)}")
    took = cost_text(targets.prompt_tokens, targets.completion_tokens, settings.price)
    print(f"asked in this call: {targets.asked}, {took}")
    refused = sorted(made[0].refused) if made and isinstance(made[0], OpenAIEngine) else []
    described = {"model": dict(asking.model), "sampling": dict(asking.settings), "not_taken_by_the_server": refused}
    return data.write({**described, "attempts": asking.attempts})


def _check(settings: SupervisedPreparation, engine: Engine) -> None:
    if not engine.model:
        raise UserError(f"--target {settings.kind} needs somebody who writes it; name a model with --engine-model")
    if engine.model == LAB and settings.kind == "teacher":
        raise UserError("the lab's rewriter is no teacher; give permix_verl/lab/teacher as --engine-model")
    for name in ("attempts", "max_tokens", "concurrency", "tensor_parallel_size", "data_parallel_size"):
        if getattr(engine, name) < 1:
            raise UserError(f"--{name.replace('_', '-')} is {getattr(engine, name)}; it must be 1 or more")
    if engine.temperature is not None and engine.temperature < 0:
        raise UserError(f"--temperature is {engine.temperature}; it must be 0 or more")
    if settings.kind == "styled" and engine.temperature == 0 and engine.attempts > 1:
        raise UserError("at temperature 0 every attempt would be the same text; set --attempts 1, or a temperature")


def _options(settings: SupervisedPreparation, engine: Engine) -> Options:
    return Options(
        engine.model,
        settings.out,
        base_url=engine.base_url,
        template_kwargs=engine.template_kwargs,
        concurrency=engine.concurrency,
        retries=engine.retries,
        request_args=engine.request_args,
        # A rewriter may write at its own temperature; a teacher that is not greedy is another teacher.
        adapt_requests=("max_tokens", "temperature", "top_p", "seed") if settings.kind == "styled" else ("max_tokens",),
        tensor_parallel_size=engine.tensor_parallel_size,
        data_parallel_size=engine.data_parallel_size,
        engine_args=engine.engine_args,
    )


def _asking(
    settings: SupervisedPreparation, engine: Engine, options: Options, arms: Sequence[Persona | None]
) -> Asking:
    styled = settings.kind == "styled"
    temperature = (1.0 if styled else 0.0) if engine.temperature is None else engine.temperature
    if engine.model == LAB:
        model: Mapping[str, Any] = {"name": LAB}
        renderer = None
    else:
        model = identity_of(options)["model"]
        # A rewriter's chat has no persona of ours as its system message; its template must take one all the same.
        renderer = make_renderer(options, arms)
    template_kwargs = options.template_kwargs
    if template_kwargs is None and not options.base_url:
        template_kwargs = DEFAULT_TEMPLATE_KWARGS
    return Asking(
        model={**model, "chat_template_kwargs": template_kwargs, "request_args": dict(engine.request_args)},
        messages=_rewriting if styled else _plain,
        sampling=engines.Sampling(temperature, top_p=1.0, top_k=0, max_tokens=engine.max_tokens),
        usable=USABLE[settings.kind],
        attempts=engine.attempts if styled else 1,
        # Not the persona seed: what is asked again is the same question.
        seed=0,
        render=renderer,
    )


def _plain(want: Want) -> list[Message]:
    return build_messages(want.problem.question, want.persona)


def _rewriting(want: Want) -> list[Message]:
    assert want.persona is not None
    return rewriting_messages(want.problem, want.persona)


def _make(engine: Engine, options: Options, arms: Sequence[Persona | None]) -> engines.Engine:
    if engine.model == LAB:
        from permix_verl.lab.rewriter import LabRewriter

        return LabRewriter()
    return make_engine(options, arms)


def _expected(data: SupervisedData, wants: Sequence[Want], asking: Asking) -> str:
    """Tokens to be expected, as the student's tokenizer counts them."""
    prompts = [render(data.tokenizer, asking.messages(want), data.settings.template_kwargs) for want in wants]
    solutions = [boxed_solution(want.problem) for want in wants]
    prompt_tokens = sum(count_tokens(data.tokenizer, prompts))
    completion_tokens = sum(count_tokens(data.tokenizer, solutions))
    most = len(wants) * asking.sampling.max_tokens
    price = data.settings.price
    return (
        f"about {cost_text(prompt_tokens, completion_tokens, price)} if targets are as long as the data set's "
        f"solutions, and at most {cost_text(prompt_tokens, most, price)} an attempt"
    )


def _counted(data: SupervisedData) -> str:
    targets = data.targets
    fates = Counter(targets.fates.values())
    counts = ", ".join(f"{fates[fate]} {fate}" for fate in ("right", "wrong", "cut", "empty") if fates[fate]) or "none"
    again = sum(attempts > 1 for attempts in targets.attempts.values())
    parts = [counts]
    if fates:
        parts.append(f"{fates['right'] / fates.total():.1%} of them right")
    if again:
        parts.append(f"{again} rows asked more than once")
    if targets.failed:
        parts.append(f"{len(targets.failed)} requests failed")
    return "; ".join(parts)


def _show(data: SupervisedData, asking: Asking | None) -> None:
    wants = data.wants() if asking is None else data.asked()
    for number, want in enumerate(wants[:SHOWN], start=1):
        messages = asking.messages(want) if asking else _plain(want)
        print(f"--- {number}: {want.problem.row_id}, {want.persona_key}")
        print(render(data.tokenizer, messages, data.settings.template_kwargs))
        if asking is None:
            print(boxed_solution(want.problem))
    if asking is not None:
        print(f"--- {len(wants)} rows, {_expected(data, wants, asking)}")
    print("dry run: nobody was asked, and nothing is written")
