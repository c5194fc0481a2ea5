"""The evaluation behind ``eval/run.py``: check all inputs, then generate the missing samples."""

from collections.abc import Mapping, Sequence
from typing import Any

from permix_verl.data.tokenizers import ROUND_TRIP_ROWS
from permix_verl.errors import UserError
from permix_verl.evaluation.generate import GenerationOutcome, generate_missing
from permix_verl.evaluation.options import EvalOptions
from permix_verl.evaluation.sample_store import SampleStore
from permix_verl.evaluation.sampling_plan import MissingSamples, Plan, TaskPlan, condition_key
from permix_verl.evaluation.scoring import Scorer, check_golds
from permix_verl.evaluation.tasks import Task, find_task, load_problems
from permix_verl.inference.engines import Engine
from permix_verl.inference.model_exchange import RESULTS, same_model
from permix_verl.personas.pool import Persona, load_pool, split_keys


def evaluate(options: EvalOptions) -> GenerationOutcome:
    """Generate the samples that the results folder lacks.

    Raises:
        UserError: an unusable input; nothing is generated then.
    """
    options.check()
    check_task_args(options)
    identity = options.engine.identity()
    conditions = select_conditions(options)
    entries = [_task_plan(text, options) for text in options.tasks]
    names = [entry.task.name for entry in entries]
    if len(set(names)) < len(names):
        raise UserError(f"tasks {', '.join(names)}: one stands twice", "name each once")
    store = SampleStore(options.out)
    with store.writing():
        _begin(store, identity, entries, conditions, options)
        texts = [entry.task.prompt(problem) for entry in entries for problem in entry.problems[:ROUND_TRIP_ROWS]]
        render = options.engine.renderer(options.personas, conditions, texts)
        missing = MissingSamples(Plan(identity, entries, conditions, options.runs, options.seed, render), store)
        scorer = Scorer()
        try:
            return _complete(missing, scorer, options)
        finally:
            scorer.close()


def _begin(
    store: SampleStore,
    identity: Mapping[str, Any],
    entries: Sequence[TaskPlan],
    conditions: Sequence[Persona | None],
    options: EvalOptions,
) -> None:
    settings = {
        **identity,
        "sampling": {"temperature": options.temperature, "top_p": options.top_p, "top_k": options.top_k}
        | {"seed": options.seed},
        "chat_template_kwargs": options.engine.local_template_kwargs,
        **options.engine.template_settings(),
        "tasks": {entry.task.name: _task_settings(entry, options) for entry in entries},
    }
    wanted = {"arms": [condition_key(persona) for persona in conditions], "runs": options.runs}
    wanted["categories"] = {persona.key: persona.category for persona in conditions if persona}
    store.begin(settings, {entry.task.name: wanted for entry in entries})


def _complete(missing: MissingSamples, scorer: Scorer, options: EvalOptions) -> GenerationOutcome:
    plan = missing.plan
    if missing.stored == plan.size:
        list(missing)  # checks the stored prompts
        return GenerationOutcome(plan.size, 0, 0)
    for entry in plan.tasks:
        check_golds(entry.task, entry.problems, scorer)
    engine = start_engine(options, plan.conditions)
    try:
        for entry in plan.tasks:
            if prompts := plan.longest_prompts(entry):
                engine.check_lengths(prompts, entry.sampling.max_tokens)
        with same_model(engine, options.out, options.engine.model, RESULTS):
            return generate_missing(missing, engine, scorer, options.engine.reading())
    finally:
        engine.close()


def select_conditions(options: EvalOptions) -> list[Persona | None]:
    """Return the selected personas, and ``None`` for the control condition.

    Raises:
        UserError: unknown pool or persona.
    """
    name, _, keys = options.personas.partition(":")
    pool = load_pool(name)
    personas = [pool.get(key) for key in split_keys(keys)] if keys else list(pool)
    return [*personas, *([None] if options.control else [])]


def start_engine(options: EvalOptions, conditions: Sequence[Persona | None]) -> Engine:
    """Start the engine; an endpoint is checked with the first persona's system prompt.

    Raises:
        UserError: see :meth:`~permix_verl.inference.engine_config.EngineConfig.start`.
    """
    persona = next((persona for persona in conditions if persona), load_pool("eval").personas[0])
    return options.engine.start(persona.system_prompt)


def check_task_args(options: EvalOptions) -> None:
    """Check that some task takes settings, if any are given.

    Raises:
        UserError: none does.
    """
    if options.task_args and not any(find_task(text.partition("=")[0]).configure for text in options.tasks):
        raise UserError(
            f"none of the tasks {', '.join(options.tasks)} has settings, and -T gives {', '.join(options.task_args)}",
            "leave it out",
        )


def configure_task(task: Task, args: Mapping[str, str]) -> Task:
    """Return the task with these settings, or the task itself if it takes none."""
    return task.configure(args) if task.configure else task


def _task_plan(text: str, options: EvalOptions) -> TaskPlan:
    name, _, source = text.partition("=")
    task = configure_task(find_task(name), options.task_args)
    problems = load_problems(task, source or None, options.limit)
    return TaskPlan(task, problems, options.sampling(task.max_tokens))


def _task_settings(entry: TaskPlan, options: EvalOptions) -> dict[str, Any]:
    return {
        "max_tokens": entry.sampling.max_tokens,
        "problems": len(entry.problems),
        "sha256": entry.fingerprint(),
        "limit": options.limit,
        **({"args": dict(entry.task.args)} if entry.task.args else {}),
        **({"groups": dict(entry.task.groups(entry.problems))} if entry.task.groups else {}),
    }
