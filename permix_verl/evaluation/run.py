"""``eval/run.py`` as a function: check everything that can be checked, then draw what is missing."""

from collections.abc import Mapping, Sequence
from typing import Any

from permix_verl.data.tokenizers import ROUND_TRIP_ROWS, check_round_trip, load_tokenizer
from permix_verl.errors import UserError
from permix_verl.evaluation.generate import Outcome, run
from permix_verl.evaluation.options import DEFAULT_TEMPLATE_KWARGS, Options, check_numbers
from permix_verl.evaluation.sample_store import SampleStore
from permix_verl.evaluation.sampling_plan import Plan, Remaining, Render, TaskPlan, arm_name
from permix_verl.evaluation.scoring import Scorer, check_golds
from permix_verl.evaluation.tasks import Task, find_task, load_problems
from permix_verl.inference.engines import Engine, Sampling
from permix_verl.inference.model_exchange import RESULTS, same_model
from permix_verl.inference.model_identity import adapter_identity, check_adapter_fits, model_identity
from permix_verl.personas.pool import Persona, PersonaPool, load_pool, split_keys
from permix_verl.personas.prompts import check_template, render, with_persona

CONTROL_QUESTION = [{"role": "user", "content": "1 + 1 = ?"}]


def evaluate(options: Options) -> Outcome:
    """Complete the results folder.

    Raises:
        UserError: anything that the user gave and that cannot be used; nothing is generated then.
    """
    check_numbers(options)
    check_task_args(options)
    identity = identity_of(options)
    arms = find_arms(options)
    entries = [_task_plan(text, options) for text in options.tasks]
    names = [entry.task.name for entry in entries]
    if len(set(names)) < len(names):
        raise UserError(f"tasks {', '.join(names)}: one stands twice; name each once")
    store = SampleStore(options.out)
    with store.writing():
        settings = {
            **identity,
            "sampling": {"temperature": options.temperature, "top_p": options.top_p, "top_k": options.top_k}
            | {"seed": options.seed},
            "chat_template_kwargs": _template_kwargs(options),
            "tasks": {entry.task.name: _task_settings(entry, options) for entry in entries},
        }
        wanted = {"arms": [arm_name(arm) for arm in arms], "runs": options.runs}
        store.begin(settings, {entry.task.name: wanted for entry in entries})
        asked = [entry.task.prompt(problem) for entry in entries for problem in entry.problems[:ROUND_TRIP_ROWS]]
        plan = Plan(identity, entries, arms, options.runs, options.seed, make_renderer(options, arms, asked))
        remaining = Remaining(plan, store)
        scorer = Scorer()
        try:
            if remaining.stored == plan.size:
                list(remaining)  # nothing to draw; looks at the prompts
                return Outcome(plan.size, 0, 0)
            for entry in entries:
                check_golds(entry.task, entry.problems, scorer)
            engine = make_engine(options, arms)
            try:
                for entry in entries:
                    if prompts := plan.longest_prompts(entry):
                        engine.check_lengths(prompts, entry.sampling.max_tokens)
                with same_model(engine, options.out, options.model, RESULTS):
                    return run(remaining, engine, scorer)
            finally:
                engine.close()
        finally:
            scorer.close()


def find_arms(options: Options) -> list[Persona | None]:
    """The personas asked for, and ``None`` for the control arm.

    Raises:
        UserError: unknown pool or persona.
    """
    name, _, keys = options.personas.partition(":")
    pool = load_pool(name)
    chosen = [pool.get(key) for key in split_keys(keys)] if keys else list(pool)
    return [*chosen, *([None] if options.control else [])]


def make_engine(options: Options, arms: Sequence[Persona | None]) -> Engine:
    """The engine that the options ask for."""
    if options.base_url:
        from permix_verl.inference.engines.openai import OpenAIEngine

        endpoint = OpenAIEngine(
            options.base_url,
            options.model,
            concurrency=options.concurrency,
            retries=options.retries,
            template_kwargs=options.template_kwargs,
            vllm_template_kwargs=DEFAULT_TEMPLATE_KWARGS,
            request_args=options.request_args,
            adapt=options.adapt_requests,
        )
        persona = next((arm for arm in arms if arm), load_pool("eval").personas[0])
        try:
            counts = endpoint.check(with_persona(CONTROL_QUESTION, persona), CONTROL_QUESTION)
        except BaseException:
            endpoint.close()
            raise
        if not counts:
            print(f"{options.base_url} does not count prompt tokens: that it keeps the system message is not checked")
        return endpoint
    engine_args = dict(options.engine_args)
    if options.data_parallel_size > 1:
        from permix_verl.inference.engines.ray_replicas import RayReplicas

        return RayReplicas(
            options.data_parallel_size,
            options.model,
            options.adapter,
            tensor_parallel_size=options.tensor_parallel_size,
            **engine_args,
        )
    from permix_verl.inference.engines.vllm import VllmEngine

    return VllmEngine(options.model, options.adapter, tensor_parallel_size=options.tensor_parallel_size, **engine_args)


def check_task_args(options: Options) -> None:
    """Refuse settings that no task has."""
    if options.task_args and not any(find_task(text.partition("=")[0]).configure for text in options.tasks):
        raise UserError(
            f"none of the tasks {', '.join(options.tasks)} has settings, and -T gives {', '.join(options.task_args)}; "
            "leave it out"
        )


def configured(task: Task, args: Mapping[str, str]) -> Task:
    """The task with the settings, if it has any."""
    return task.configure(args) if task.configure else task


def _task_plan(text: str, options: Options) -> TaskPlan:
    name, _, source = text.partition("=")
    task = configured(find_task(name), options.task_args)
    problems = load_problems(task, source or None, options.limit)
    sampling = Sampling(options.temperature, options.top_p, options.top_k, options.max_tokens or task.max_tokens)
    return TaskPlan(task, problems, sampling)


def _task_settings(entry: TaskPlan, options: Options) -> dict[str, Any]:
    return {
        "max_tokens": entry.sampling.max_tokens,
        "problems": len(entry.problems),
        "sha256": entry.fingerprint(),
        "limit": options.limit,
        **({"args": dict(entry.task.args)} if entry.task.args else {}),
        **({"groups": dict(entry.task.groups(entry.problems))} if entry.task.groups else {}),
    }


def identity_of(options: Options) -> dict[str, Any]:
    """What answers: model and adapter, whatever folders they lie in."""
    if options.base_url:
        return {"model": {"name": options.model, "fingerprint": f"served:{options.model}"}, "adapter": None}
    identity = {
        "model": model_identity(options.model),
        "adapter": adapter_identity(options.adapter) if options.adapter else None,
    }
    if options.adapter:
        check_adapter_fits(options.adapter, options.model)
    return identity


def make_renderer(options: Options, arms: Sequence[Persona | None], texts: Sequence[str] = ()) -> Render | None:
    """How chats become prompts: by the model's template, checked to keep all this; an endpoint renders itself."""
    if options.base_url:
        return None
    tokenizer = load_tokenizer(options.model)
    check_round_trip(tokenizer, arms, texts)
    template_kwargs = _template_kwargs(options)
    personas = tuple(arm for arm in arms if arm)
    if personas:
        check_template(tokenizer, PersonaPool(options.personas, personas), template_kwargs)
    return lambda messages: render(tokenizer, messages, template_kwargs)


def _template_kwargs(options: Options) -> dict[str, Any]:
    return dict(DEFAULT_TEMPLATE_KWARGS if options.template_kwargs is None else options.template_kwargs)
