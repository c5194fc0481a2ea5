"""What is asked, and what counts as right. One file a task; yours is one file too.

    python eval/run.py --tasks gsm8k,math500=path/to/math500.jsonl,./my_task.py ...

A task file defines ``TASK``, a :class:`Task`: where its problems come from, the user message,
the score, and a text that must score as correct, so that golds are checked before anything
is generated. ``gsm8k.py`` is the shortest example. An installed package registers its tasks by
name, under the entry point group ``permix_verl.tasks``; the lab does.
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


@dataclass(frozen=True, slots=True)
class EvalProblem:
    """One problem: an ``id`` that is stable and unique in its task, the text, the gold answer."""

    id: str
    question: str
    gold: str


Verify = Callable[..., Mapping[str, Any]]
"""The reward file's ``compute_score(data_source, solution_str, ground_truth)``."""


@dataclass(frozen=True, slots=True)
class Task:
    """A benchmark.

    Attributes:
        name: as it stands in results and reports.
        source: where the problems are if the user names no other place: a hub name.
        max_tokens: of an answer, unless the user says otherwise.
        load: source -> problems, in order.
        prompt: problem -> user message.
        score: (output, problem, verify) -> the reward file's dict: at least ``status``
            (correct, wrong, no_answer, timeout, error) and ``pred``, the answer that was read;
            ``mark``, what marked it, if it says so.
            When stored answers are scored again, the problem's text is the stored prompt.
        gold_output: problem -> an output that must score as correct; ``None`` where a gold is no answer.
        args: settings of the task that change what is asked; results of others are refused.
        configure: settings, as ``-T NAME=VALUE`` gives them -> the task with these; ``None``: it has none.
        groups: problems -> name and problem ids of each part that is reported by itself; ``None``: all in one.
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
    """Correct if the reward function says so: training and evaluation cannot disagree."""
    return verify("", output, problem.gold)


def boxed_gold(problem: EvalProblem) -> str:
    """The gold answer as a model would give it."""
    return f"The answer is \\boxed{{{problem.gold}}}."


GROUP = "permix_verl.tasks"
"""Entry point group under which other packages register tasks."""


def known_tasks() -> list[str]:
    """Names of the tasks of this package, and of those that are registered."""
    return sorted({module.name for module in pkgutil.iter_modules(__path__)} | set(_registered()))


def _registered() -> dict[str, importlib.metadata.EntryPoint]:
    return {entry.name: entry for entry in importlib.metadata.entry_points(group=GROUP)}


def find_task(name: str) -> Task:
    """A task by its name, or by the path of a file that defines ``TASK``.

    Raises:
        UserError: unknown name, missing file, or a file without a ``TASK``.
    """
    if not name.endswith(".py"):
        if name not in known_tasks():
            raise UserError(f"unknown task {name!r}; known: {', '.join(known_tasks())}, or the path of a task file")
        entry = _registered().get(name)
        return entry.load() if entry else importlib.import_module(f"{__name__}.{name}").TASK  # type: ignore[no-any-return]
    path = Path(name)
    if not path.is_file():
        raise UserError(f"no task file {name!r}; known tasks: {', '.join(known_tasks())}")
    spec = importlib.util.spec_from_file_location(f"permix_task_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    task = getattr(module, "TASK", None)
    if not isinstance(task, Task):
        raise UserError(f"{path} defines no TASK; set TASK = permix_verl.evaluation.tasks.Task(...) in it")
    return task


def load_problems(task: Task, source: str | None = None, limit: int | None = None) -> list[EvalProblem]:
    """The task's problems, checked.

    Args:
        source: a path or hub name instead of the task's own.
        limit: only the first so many.

    Raises:
        UserError: nothing there, ids that repeat, a problem without text or gold.
    """
    problems = list(task.load(source or task.source))[:limit]
    if not problems:
        raise UserError(f"task {task.name}: no problems in {source or task.source!r}; name a file with some")
    seen: set[str] = set()
    for problem in problems:
        if not problem.id or problem.id in seen:
            raise UserError(f"task {task.name}: problem id {problem.id!r} is empty or repeats; give each its own")
        if not problem.question.strip() or not problem.gold.strip():
            raise UserError(f"task {task.name}: problem {problem.id!r} has no text or no gold answer; complete it")
        seen.add(problem.id)
    return problems
