"""Tasks: prompts and scoring of one benchmark per file; a user's task is one file too.

    python eval/run.py --tasks gsm8k,math500=path/to/math500.jsonl,own=mine.csv,./my_task.py ...

A task file defines ``TASK``, a :class:`Task`: the source of its problems, the user message, the score, and a text that
must score as correct, with which golds are checked before generation. ``gsm8k.py`` is the shortest example; ``own.py``
reads problems of any fields. An
installed package registers tasks by name in the entry point group ``permix_verl.tasks``, as the lab does.
"""

import importlib
import importlib.metadata
import importlib.util
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from permix_verl.errors import UserError
from permix_verl.personas.prompts import user_message


@dataclass(frozen=True, slots=True)
class EvalProblem:
    """A problem: an ``id`` that is stable and unique in its task, the text, and the gold answer."""

    id: str
    question: str
    gold: str


Verify = Callable[..., Mapping[str, Any]]
"""The reward file's ``compute_score(data_source, solution_str, ground_truth)``."""


@dataclass(frozen=True, slots=True)
class Task:
    """A benchmark.

    Attributes:
        name: name in results and reports.
        source: default source of the problems, a hub name.
        max_tokens: default token limit of a completion.
        load: source -> problems, in order.
        prompt: problem -> user message.
        score: (output, problem, verify) -> the reward file's dict, with at least ``status`` (correct, wrong,
            no_answer, timeout, error) and ``pred``, the final answer that was extracted; optionally ``mark``, its
            marker. When stored completions are rescored, the problem's text is the stored prompt.
        gold_output: problem -> an output that must score as correct; ``None`` if a gold is not an answer.
        args: settings that change the prompts; a results folder refuses other ones.
        configure: settings from ``-T NAME=VALUE`` -> the task with them; ``None`` if it takes none.
        groups: problems -> name and problem ids of each part that is reported separately; ``None``: one part.
    """

    name: str
    source: str
    max_tokens: int
    load: Callable[[str], Sequence[EvalProblem]]
    prompt: Callable[[EvalProblem], str]
    score: Callable[[str, EvalProblem, Verify], Mapping[str, Any]]
    gold_output: Callable[[EvalProblem], str] | None
    args: Mapping[str, str] = field(default_factory=dict)
    configure: "Callable[[Mapping[str, str]], Task] | None" = None
    groups: Callable[[Sequence[EvalProblem]], Mapping[str, Sequence[str]]] | None = None


def score_math(output: str, problem: EvalProblem, verify: Verify) -> Mapping[str, Any]:
    """Score with the reward function, so that training and evaluation agree."""
    return verify("", output, problem.gold)


def boxed_gold(problem: EvalProblem) -> str:
    """Return a completion with the gold answer."""
    return f"The answer is \\boxed{{{problem.gold}}}."


def math_task(name: str, source: str, max_tokens: int, load: Callable[[str], Sequence[EvalProblem]]) -> Task:
    """Build a task of math problems, with the prompt and the score of training."""
    return Task(
        name=name,
        source=source,
        max_tokens=max_tokens,
        load=load,
        prompt=lambda problem: user_message(problem.question),
        score=score_math,
        gold_output=boxed_gold,
    )


NAMED_OWN = "own-"
"""Beginning of the names of further tasks like ``own``, for several files in one results folder."""
GROUP = "permix_verl.tasks"
"""Entry point group under which other packages register tasks."""


def known_tasks() -> list[str]:
    """Return the names of this package's tasks and of the registered ones."""
    return sorted({module.name for module in pkgutil.iter_modules(__path__)} | set(_registered()))


def _registered() -> dict[str, importlib.metadata.EntryPoint]:
    return {entry.name: entry for entry in importlib.metadata.entry_points(group=GROUP)}


def find_task(name: str) -> Task:
    """Return a task by its name, or by the path of a file that defines ``TASK``.

    Raises:
        UserError: unknown name, missing file, or a file without a ``TASK``.
    """
    if not name.endswith(".py"):
        if name.startswith(NAMED_OWN) and name != NAMED_OWN:
            return importlib.import_module(f"{__name__}.own").own_task(name)  # type: ignore[no-any-return]
        if name not in known_tasks():
            raise UserError(f"unknown task {name!r}", f"known: {', '.join(known_tasks())}, or the path of a task file")
        entry = _registered().get(name)
        return entry.load() if entry else importlib.import_module(f"{__name__}.{name}").TASK  # type: ignore[no-any-return]
    path = Path(name)
    if not path.is_file():
        raise UserError(f"no task file {name!r}", f"known tasks: {', '.join(known_tasks())}")
    spec = importlib.util.spec_from_file_location(f"permix_task_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    task = getattr(module, "TASK", None)
    if not isinstance(task, Task):
        raise UserError(f"{path} defines no TASK", "set TASK = permix_verl.evaluation.tasks.Task(...) in it")
    return task


def load_problems(task: Task, source: str | None = None, limit: int | None = None) -> list[EvalProblem]:
    """Load the task's problems.

    Args:
        source: path or hub name; ``None``: the task's own.
        limit: number of problems, from the start; ``None``: all.

    Raises:
        UserError: no problems, repeated ids, or a problem without text or gold.
    """
    problems = list(task.load(source or task.source))[:limit]
    if not problems:
        raise UserError(f"task {task.name}: no problems in {source or task.source!r}", "name a file with some")
    seen: set[str] = set()
    for problem in problems:
        if not problem.id or problem.id in seen:
            raise UserError(f"task {task.name}: problem id {problem.id!r} is empty or repeats", "give each its own")
        if not problem.question.strip() or not problem.gold.strip():
            raise UserError(f"task {task.name}: problem {problem.id!r} has no text or no gold answer", "complete it")
        seen.add(problem.id)
    return problems
