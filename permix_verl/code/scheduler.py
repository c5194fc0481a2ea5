"""Schedule programs' tests on this machine's cores, or as tasks of a Ray cluster."""

import functools
import os
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from permix_verl.code.judge import ProgramResult, judge
from permix_verl.code.tests import Cases
from permix_verl.sandbox import Sandbox
from permix_verl.utils.ray_cluster import connect

ProgramJudge = Callable[[str | None, Cases], ProgramResult]
_CACHED_PROBLEMS = 64
"""Number of problems whose tests stay in Ray's object store."""


@functools.cache
def make_judge(sandbox: str = "on") -> ProgramJudge:
    """Return this process's judge. It is thread-safe and runs as many programs concurrently as there are cores.

    With ``RAY_ADDRESS`` each program is a task on that cluster with one core; its nodes need bubblewrap.

    Args:
        sandbox: as in :class:`~permix_verl.sandbox.Sandbox`.

    Raises:
        SandboxUnavailableError: this machine cannot isolate a program.
        UserError: the cluster cannot be reached.
    """
    if os.environ.get("RAY_ADDRESS"):
        return _RayJudge(sandbox)
    return _LocalJudge(sandbox)


def judge_concurrency() -> int:
    """Return the number of threads that keep :func:`make_judge`'s judge busy."""
    if os.environ.get("RAY_ADDRESS"):
        import ray

        if ray.is_initialized():
            return max(1, int(ray.cluster_resources().get("CPU", 1)))
    return os.cpu_count() or 1


class _LocalJudge:
    def __init__(self, sandbox: str) -> None:
        self._sandbox = Sandbox(sandbox)
        self._slots = threading.Semaphore(os.cpu_count() or 1)

    def __call__(self, program: str | None, cases: Cases) -> ProgramResult:
        if program is None:
            return judge(None, cases, self._sandbox)
        with self._slots:
            return judge(program, cases, self._sandbox)


class _RayJudge:
    def __init__(self, sandbox: str) -> None:
        import ray

        self._ray = ray
        self._sandbox = sandbox
        if not ray.is_initialized():
            connect()
        # The programs of a node that dies are retried elsewhere.
        self._task = ray.remote(num_cpus=1, max_retries=3)(judge_on_node)
        self._cached: OrderedDict[Cases, Any] = OrderedDict()
        self._lock = threading.Lock()
        ray.get(self._task.remote(None, Cases.from_ground_truth('{"inputs": [""], "outputs": [""]}'), sandbox))

    def __call__(self, program: str | None, cases: Cases) -> ProgramResult:
        with self._lock:
            if cases not in self._cached:
                self._cached[cases] = self._ray.put(cases)
                if len(self._cached) > _CACHED_PROBLEMS:
                    self._cached.popitem(last=False)
            self._cached.move_to_end(cases)
            stored = self._cached[cases]
        result: ProgramResult = self._ray.get(self._task.remote(program, stored, self._sandbox))
        return result


def judge_on_node(program: str | None, cases: Cases, sandbox: str) -> ProgramResult:
    """Judge a program on a Ray worker."""
    return judge(program, cases, _sandbox_of(sandbox))


_sandboxes: dict[str, Sandbox] = {}


def _sandbox_of(sandbox: str) -> Sandbox:
    if sandbox not in _sandboxes:
        _sandboxes[sandbox] = Sandbox(sandbox)
    return _sandboxes[sandbox]
