"""Verdicts beside generation, by the very reward file that training uses.

The reward file serves one request at a time through a child process of its own; each thread
here loads a copy of the module, and with it a child.
"""

import importlib.util
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import permix_verl.reward_fns
from permix_verl.errors import UserError
from permix_verl.evaluation.tasks import EvalProblem, Task, Verify

Verdict = Mapping[str, Any]


class Scorer:
    """A few verifiers; verdicts come as futures."""

    def __init__(self, workers: int | None = None) -> None:
        self._own = threading.local()
        self._pool = ThreadPoolExecutor(workers or max(1, min(8, (os.cpu_count() or 1) // 2)))

    def submit(self, task: Task, problem: EvalProblem, output: str) -> "Future[Verdict]":
        """Score one output."""
        return self._pool.submit(lambda: task.score(output, problem, self._verify()))

    def close(self) -> None:
        """Let the pending verdicts come, then stop."""
        self._pool.shutdown()

    def _verify(self) -> Verify:
        if not hasattr(self._own, "verify"):
            self._own.verify = load_reward()
        verify: Verify = self._own.verify
        return verify


def load_reward() -> Callable[..., dict[str, Any]]:
    """``compute_score`` of a fresh copy of ``reward_fns/math_reward.py``."""
    (folder,) = permix_verl.reward_fns.__path__
    spec = importlib.util.spec_from_file_location("permix_math_reward", os.path.join(folder, "math_reward.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    compute_score: Callable[..., dict[str, Any]] = module.compute_score
    return compute_score


def check_golds(task: Task, problems: Sequence[EvalProblem], scorer: Scorer) -> None:
    """Score every gold answer.

    Raises:
        UserError: one that does not score as correct: no model could solve that problem.
    """
    verdicts = [(problem, scorer.submit(task, problem, task.gold_output(problem))) for problem in problems]
    wrong = [(problem, status) for problem, verdict in verdicts if (status := verdict.result()["status"]) != "correct"]
    if wrong:
        problem, status = wrong[0]
        raise UserError(
            f"task {task.name}: {len(wrong)} of {len(problems)} gold answers do not score as correct (problem "
            f"{problem.id}: {problem.gold!r} is {status!r}); repair the golds, or the task's score"
        )
