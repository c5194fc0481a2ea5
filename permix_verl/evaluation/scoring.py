"""Scoring of completions beside generation, with the reward file that training uses."""

import importlib.util
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import permix_verl.reward_fns
from permix_verl.code.scheduler import judge_concurrency
from permix_verl.errors import UserError
from permix_verl.evaluation.tasks import EvalProblem, Task

Score = Mapping[str, Any]
"""The reward file's dict: ``status``, ``pred`` and others."""


class Scorer:
    """Worker processes for final answers, and one sandboxed program per core; scores come as futures."""

    def __init__(self, workers: int | None = None) -> None:
        self._reward = load_reward()
        self._reward.WORKERS = workers or max(1, min(8, (os.cpu_count() or 1) // 2))
        self._pool = ThreadPoolExecutor(max(self._reward.WORKERS, judge_concurrency()))

    def submit(self, task: Task, problem: EvalProblem, output: str) -> "Future[Score]":
        """Score one completion."""
        return self._pool.submit(lambda: task.score(output, problem, self._reward.compute_score))

    def close(self) -> None:
        """Wait for the pending scores, then stop the workers."""
        self._pool.shutdown()
        self._reward.close()


def load_reward() -> Any:
    """Return a copy of ``reward_fns/math_reward.py`` with workers of its own."""
    (folder,) = permix_verl.reward_fns.__path__
    spec = importlib.util.spec_from_file_location("permix_math_reward", os.path.join(folder, "math_reward.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def check_golds(task: Task, problems: Sequence[EvalProblem], scorer: Scorer) -> None:
    """Check that every gold answer scores as correct; tasks without gold outputs are not checked.

    Raises:
        UserError: a gold answer does not, so that no model could solve its problem.
    """
    gold_output = task.gold_output
    if gold_output is None:
        return
    scores = [(problem, scorer.submit(task, problem, gold_output(problem))) for problem in problems]
    wrong = [(problem, status) for problem, score in scores if (status := score.result()["status"]) != "correct"]
    if wrong:
        problem, status = wrong[0]
        raise UserError(
            f"task {task.name}: {len(wrong)} of {len(problems)} gold answers do not score as correct (problem "
            f"{problem.id}: {problem.gold!r} is {status!r})",
            "repair the golds, or the task's score",
        )
