"""Run ``data_prep/gsm8k_sft.py``: estimate the cost, generate missing targets, write the data set."""

import importlib.metadata
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
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
from permix_verl.sft_targets.generate import GenerationConfig, TargetRequest, TargetStatus
from permix_verl.sft_targets.ground_truth import boxed_solution
from permix_verl.sft_targets.prepare import SupervisedData
from permix_verl.sft_targets.rewriting import rewriting_messages
from permix_verl.sft_targets.settings import USABLE_STATUSES, SupervisedPreparation
from permix_verl.sft_targets.store import TargetStore
from permix_verl.utils.costs import cost_text

DRY_RUN_ROWS = 10
"""Number of prompts that a dry run prints."""
LAB_REWRITER = "lab"
"""Model name that selects the lab's rewriter, which is a program."""
REWRITER_ENTRY_POINTS = "permix_verl.rewriters"
"""Entry point group of engines that rewrite without a language model."""


@dataclass(frozen=True)
class TargetEngine:
    """Model that writes targets, and its engine settings.

    Attributes:
        model: hub name, folder, name that an endpoint serves, or :data:`LAB_REWRITER`.
        store: folder of the :class:`~permix_verl.sft_targets.store.TargetStore`.
        base_url: an OpenAI-compatible endpoint; ``None`` loads the model into vLLM.
        attempts: most texts of a rewriter per row; a teacher writes one.
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
    settings: SupervisedPreparation, engine: TargetEngine, *, dry_run: bool = False
) -> dict[str, Any] | None:
    """Write the data set, and print the expected and the actual cost.

    Returns:
        The manifest; ``None`` for a dry run.

    Raises:
        UserError: unusable settings, or failed requests.
    """
    if settings.kind == "gt":
        data = SupervisedData(settings)
        if dry_run:
            _print_dry_run(data, None)
            return None
        data.fill_own_solutions()
        return data.write({"model": None})
    _check(settings, engine)
    options = _options(settings, engine)
    data = SupervisedData(settings)
    personas = list(dict.fromkeys(row.persona for row in data.engine_rows()))
    config = _generation_config(settings, engine, options, personas)
    if dry_run:
        _print_dry_run(data, config)
        return None
    refused = _fill_targets(data, engine, config, lambda: _make_engine(engine, options, personas))
    _print_outcome(data, engine.model)
    described = {"model": dict(config.model), "sampling": dict(config.settings), "not_taken_by_the_server": refused}
    return data.write({**described, "attempts": config.attempts})


def _fill_targets(
    data: SupervisedData, engine: TargetEngine, config: GenerationConfig, make: Callable[[], engines.Engine]
) -> list[str]:
    """Generate the missing targets, and return the request fields that the server refused."""
    reward = load_reward()
    made: list[engines.Engine] = []

    def start(rows: Sequence[TargetRequest]) -> engines.Engine:
        if engine.model != LAB_REWRITER:
            cost = _expected_cost(data, rows, config)
            print(f"{len(rows)} of {len(data.engine_rows())} rows have no target yet: {cost}")
        made.append(make())
        return made[0]

    def is_correct(text: str, gold: str) -> bool:
        return bool(reward.compute_score("", text, gold)["status"] == "correct")

    try:
        with TargetStore(engine.store).writing() as store:
            data.fill_targets(config, store, start, is_correct)
    finally:
        reward.close()
    return sorted(made[0].refused) if made and isinstance(made[0], OpenAIEngine) else []


def _print_outcome(data: SupervisedData, model: str) -> None:
    targets = data.targets
    print(f"texts by {model}: {_status_counts(data)}")
    cost = cost_text(targets.prompt_tokens, targets.completion_tokens, data.settings.price)
    print(f"generated in this call: {targets.generated}, {cost}")


def _check(settings: SupervisedPreparation, engine: TargetEngine) -> None:
    if not engine.model:
        raise UserError(f"--target {settings.kind} needs a model that writes the targets; set --engine-model")
    if engine.model == LAB_REWRITER and settings.kind == "teacher":
        raise UserError("the lab's rewriter cannot be a teacher; give permix_verl/lab/teacher as --engine-model")
    for name in ("attempts", "max_tokens", "concurrency", "tensor_parallel_size", "data_parallel_size"):
        if getattr(engine, name) < 1:
            raise UserError(f"--{name.replace('_', '-')} is {getattr(engine, name)}; it must be 1 or more")
    if engine.temperature is not None and engine.temperature < 0:
        raise UserError(f"--temperature is {engine.temperature}; it must be 0 or more")
    if settings.kind == "styled" and engine.temperature == 0 and engine.attempts > 1:
        raise UserError("at temperature 0 every attempt gives the same text; set --attempts 1, or a temperature")


def _options(settings: SupervisedPreparation, engine: TargetEngine) -> Options:
    return Options(
        engine.model,
        settings.out,
        base_url=engine.base_url,
        template_kwargs=engine.template_kwargs,
        concurrency=engine.concurrency,
        retries=engine.retries,
        request_args=engine.request_args,
        # A rewriter may fall back to its default temperature; a teacher must stay greedy.
        adapt_requests=("max_tokens", "temperature", "top_p", "seed") if settings.kind == "styled" else ("max_tokens",),
        tensor_parallel_size=engine.tensor_parallel_size,
        data_parallel_size=engine.data_parallel_size,
        engine_args=engine.engine_args,
    )


def _generation_config(
    settings: SupervisedPreparation, engine: TargetEngine, options: Options, personas: Sequence[Persona | None]
) -> GenerationConfig:
    styled = settings.kind == "styled"
    temperature = (1.0 if styled else 0.0) if engine.temperature is None else engine.temperature
    if engine.model == LAB_REWRITER:
        model: Mapping[str, Any] = {"name": LAB_REWRITER}
        renderer = None
    else:
        model = identity_of(options)["model"]
        # Also checks that the template keeps a system message, which the rewriter's chat has as well.
        renderer = make_renderer(options, personas)
    template_kwargs = options.template_kwargs
    if template_kwargs is None and not options.base_url:
        template_kwargs = DEFAULT_TEMPLATE_KWARGS
    return GenerationConfig(
        model={**model, "chat_template_kwargs": template_kwargs, "request_args": dict(engine.request_args)},
        messages=_rewriting_chat if styled else _prompt_chat,
        sampling=engines.Sampling(temperature, top_p=1.0, top_k=0, max_tokens=engine.max_tokens),
        usable=USABLE_STATUSES[settings.kind],
        attempts=engine.attempts if styled else 1,
        # Not the persona seed: data sets with other seeds reuse the same texts.
        seed=0,
        render=renderer,
    )


def _prompt_chat(row: TargetRequest) -> list[Message]:
    return build_messages(row.problem.question, row.persona)


def _rewriting_chat(row: TargetRequest) -> list[Message]:
    assert row.persona is not None
    return rewriting_messages(row.problem, row.persona)


def _make_engine(engine: TargetEngine, options: Options, personas: Sequence[Persona | None]) -> engines.Engine:
    if engine.model == LAB_REWRITER:
        (rewriter,) = importlib.metadata.entry_points(group=REWRITER_ENTRY_POINTS, name=LAB_REWRITER)
        return rewriter.load()()  # type: ignore[no-any-return]
    return make_engine(options, personas)


def _expected_cost(data: SupervisedData, rows: Sequence[TargetRequest], config: GenerationConfig) -> str:
    """Estimate tokens and cost, with the student's tokenizer."""
    prompts = [render(data.tokenizer, config.messages(row), data.settings.template_kwargs) for row in rows]
    solutions = [boxed_solution(row.problem) for row in rows]
    prompt_tokens = sum(count_tokens(data.tokenizer, prompts))
    completion_tokens = sum(count_tokens(data.tokenizer, solutions))
    limit = len(rows) * config.sampling.max_tokens
    price = data.settings.price
    return (
        f"about {cost_text(prompt_tokens, completion_tokens, price)} if targets are as long as the data set's "
        f"solutions, and at most {cost_text(prompt_tokens, limit, price)} per attempt"
    )


def _status_counts(data: SupervisedData) -> str:
    targets = data.targets
    counts = Counter(targets.statuses.values())
    labels: dict[TargetStatus, str] = {"right": "right", "wrong": "wrong", "cut": "truncated", "empty": "empty"}
    parts = [", ".join(f"{counts[name]} {label}" for name, label in labels.items() if counts[name]) or "none"]
    if counts:
        parts.append(f"{counts['right'] / counts.total():.1%} of them right")
    if retried := sum(attempts > 1 for attempts in targets.attempts.values()):
        parts.append(f"{retried} rows with more than one attempt")
    if targets.failed:
        parts.append(f"{len(targets.failed)} requests failed")
    return "; ".join(parts)


def _print_dry_run(data: SupervisedData, config: GenerationConfig | None) -> None:
    rows = data.rows() if config is None else data.engine_rows()
    for number, row in enumerate(rows[:DRY_RUN_ROWS], start=1):
        messages = config.messages(row) if config else _prompt_chat(row)
        print(f"--- {number}: {row.problem.row_id}, {row.persona_key}")
        print(render(data.tokenizer, messages, data.settings.template_kwargs))
        if config is None:
            print(boxed_solution(row.problem))
    if config is not None:
        print(f"--- {len(rows)} rows, {_expected_cost(data, rows, config)}")
    print("dry run: no request was sent and nothing was written")
