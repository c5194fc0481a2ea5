"""Run ``data_prep/gsm8k_sft.py``: estimate the cost, generate missing targets, write the data set."""

import importlib.metadata
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from permix_verl.errors import UserError
from permix_verl.evaluation.scoring import load_reward
from permix_verl.inference.engine_config import EngineConfig
from permix_verl.inference.engines import Engine, Sampling
from permix_verl.inference.engines.openai import OpenAIEngine
from permix_verl.personas.pool import Persona, load_pool
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
class TargetOptions:
    """Options of the model that writes targets.

    Attributes:
        engine: the model, or :data:`LAB_REWRITER` as its name, and its engine.
        store: folder of the :class:`~permix_verl.sft_targets.store.TargetStore`.
        attempts: most texts of a rewriter per row; a teacher writes one.
        temperature: ``None`` is 1 for a rewriter and 0 for a teacher.
        max_tokens: token limit of a text.
    """

    engine: EngineConfig
    store: Path = Path("targets")
    attempts: int = 4
    temperature: float | None = None
    max_tokens: int = 1024


def prepare_supervised(
    settings: SupervisedPreparation, options: TargetOptions, *, dry_run: bool = False
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
    _check(settings, options)
    # A rewriter may fall back to its default temperature; a teacher must stay greedy.
    droppable = ("max_tokens", "temperature", "top_p", "seed") if settings.kind == "styled" else ("max_tokens",)
    options = replace(options, engine=replace(options.engine, droppable_fields=droppable))
    data = SupervisedData(settings)
    personas = list(dict.fromkeys(row.persona for row in data.engine_rows()))
    config = _generation_config(settings, options, personas)
    if dry_run:
        _print_dry_run(data, config)
        return None
    refused = _fill_targets(data, options, config, lambda: _start_engine(options, personas))
    _print_outcome(data, options.engine.model)
    described = {"model": dict(config.model), "sampling": dict(config.settings), "not_taken_by_the_server": refused}
    return data.write({**described, "attempts": config.attempts})


def _fill_targets(
    data: SupervisedData, options: TargetOptions, config: GenerationConfig, start_engine: Callable[[], Engine]
) -> list[str]:
    """Generate the missing targets, and return the request fields that the server refused."""
    reward = load_reward()
    started: list[Engine] = []

    def start(rows: Sequence[TargetRequest]) -> Engine:
        if options.engine.model != LAB_REWRITER:
            cost = _expected_cost(data, rows, config)
            print(f"{len(rows)} of {len(data.engine_rows())} rows have no target yet: {cost}")
        started.append(start_engine())
        return started[0]

    def is_correct(text: str, gold: str) -> bool:
        return bool(reward.compute_score("", text, gold)["status"] == "correct")

    try:
        with TargetStore(options.store).writing() as store:
            data.fill_targets(config, store, start, is_correct)
    finally:
        reward.close()
    return sorted(started[0].refused) if started and isinstance(started[0], OpenAIEngine) else []


def _print_outcome(data: SupervisedData, model: str) -> None:
    targets = data.targets
    print(f"texts by {model}: {_status_counts(data)}")
    cost = cost_text(targets.prompt_tokens, targets.completion_tokens, data.settings.price)
    print(f"generated in this call: {targets.generated}, {cost}")


def _check(settings: SupervisedPreparation, options: TargetOptions) -> None:
    model = options.engine.model
    if not model:
        raise UserError(f"--target {settings.kind} needs a model that writes the targets", "set --engine-model")
    if model == LAB_REWRITER and settings.kind == "teacher":
        raise UserError("the lab's rewriter cannot be a teacher", "give permix_verl/lab/teacher as --engine-model")
    for name in ("attempts", "max_tokens"):
        if getattr(options, name) < 1:
            raise UserError(f"--{name.replace('_', '-')} is {getattr(options, name)}", "it must be 1 or more")
    options.engine.check()
    if options.temperature is not None and options.temperature < 0:
        raise UserError(f"--temperature is {options.temperature}", "it must be 0 or more")
    if settings.kind == "styled" and options.temperature == 0 and options.attempts > 1:
        raise UserError("at temperature 0 every attempt gives the same text", "set --attempts 1, or a temperature")


def _generation_config(
    settings: SupervisedPreparation, options: TargetOptions, personas: Sequence[Persona | None]
) -> GenerationConfig:
    styled, engine = settings.kind == "styled", options.engine
    temperature = (1.0 if styled else 0.0) if options.temperature is None else options.temperature
    if engine.model == LAB_REWRITER:
        model: Mapping[str, Any] = {"name": LAB_REWRITER}
        renderer = None
    else:
        model = engine.identity()["model"]
        # Also checks that the template keeps a system message, which the rewriter's chat has as well.
        renderer = engine.renderer(settings.pool, personas)
    return GenerationConfig(
        model={
            **model,
            "chat_template_kwargs": engine.stored_template_kwargs,
            "request_args": dict(engine.request_args),
        },
        messages=_rewriting_chat if styled else _prompt_chat,
        sampling=Sampling(temperature, top_p=1.0, top_k=0, max_tokens=options.max_tokens),
        usable=USABLE_STATUSES[settings.kind],
        attempts=options.attempts if styled else 1,
        # Not the persona seed: data sets with other seeds reuse the same texts.
        seed=0,
        render=renderer,
    )


def _prompt_chat(row: TargetRequest) -> list[Message]:
    return build_messages(row.problem.question, row.persona)


def _rewriting_chat(row: TargetRequest) -> list[Message]:
    assert row.persona is not None
    return rewriting_messages(row.problem, row.persona)


def _start_engine(options: TargetOptions, personas: Sequence[Persona | None]) -> Engine:
    if options.engine.model == LAB_REWRITER:
        # Several if a checkout's egg-info lies on the path beside the installed package.
        rewriters = tuple(importlib.metadata.entry_points(group=REWRITER_ENTRY_POINTS, name=LAB_REWRITER))
        if not rewriters:
            raise UserError(
                f"the installed permix-verl registers no rewriter {LAB_REWRITER!r}",
                "install it again: bash recipes/setup_env.sh, or pip install -e .",
            )
        return rewriters[0].load()()  # type: ignore[no-any-return]
    persona = next((persona for persona in personas if persona), load_pool("eval").personas[0])
    return options.engine.start(persona.system_prompt)


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
