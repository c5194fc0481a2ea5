"""Where programs are judged: on this machine's cores, or as tasks of a Ray cluster if there is one."""

import functools
import os
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from permix_verl.code.judge import Judgement, judge
from permix_verl.code.tests import Cases
from permix_verl.sandbox import Sandbox
from permix_verl.utils.ray_cluster import connect

Judge = Callable[[str | None, Cases], Judgement]
_KEPT = 64
"""Problems whose tests stay in Ray's object store."""


@functools.cache
def make_judge(sandbox: str = "on") -> Judge:
    """The judge of this process, which many threads may call: it runs as many programs at a time as there are cores.

    With ``RAY_ADDRESS`` each program is a task of that cluster, with one core to itself; its nodes need bubblewrap.

    Args:
        sandbox: as :class:`~permix_verl.sandbox.Sandbox` takes it.

    Raises:
        SandboxUnavailableError: this machine cannot isolate a program.
        UserError: the cluster cannot be reached.
    """
    if os.environ.get("RAY_ADDRESS"):
        return _OnCluster(sandbox)
    return _Here(sandbox)


def judges_at_a_time() -> int:
    """How many threads keep :func:`make_judge`'s judge busy."""
    if os.environ.get("RAY_ADDRESS"):
        import ray

        if ray.is_initialized():
            return max(1, int(ray.cluster_resources().get("CPU", 1)))
    return os.cpu_count() or 1


class _Here:
    def __init__(self, sandbox: str) -> None:
        self._sandbox = Sandbox(sandbox)
        self._free = threading.Semaphore(os.cpu_count() or 1)

    def __call__(self, program: str | None, cases: Cases) -> Judgement:
        if program is None:
            return judge(None, cases, self._sandbox)
        with self._free:
            return judge(program, cases, self._sandbox)


class _OnCluster:
    def __init__(self, sandbox: str) -> None:
        import ray

        self._ray = ray
        self._sandbox = sandbox
        if not ray.is_initialized():
            connect()
        # A node that dies takes its programs along; they are run anew elsewhere.
        self._task = ray.remote(num_cpus=1, max_retries=3)(judge_on_node)
        self._kept: OrderedDict[Cases, Any] = OrderedDict()
        self._lock = threading.Lock()
        ray.get(self._task.remote(None, Cases.of_ground_truth('{"inputs": [""], "outputs": [""]}'), sandbox))

    def __call__(self, program: str | None, cases: Cases) -> Judgement:
        with self._lock:
            if cases not in self._kept:
                self._kept[cases] = self._ray.put(cases)
                if len(self._kept) > _KEPT:
                    self._kept.popitem(last=False)
            self._kept.move_to_end(cases)
            stored = self._kept[cases]
        judgement: Judgement = self._ray.get(self._task.remote(program, stored, self._sandbox))
        return judgement


def judge_on_node(program: str | None, cases: Cases, sandbox: str) -> Judgement:
    """What a Ray worker runs."""
    return judge(program, cases, _sandbox_of(sandbox))


_sandboxes: dict[str, Sandbox] = {}


def _sandbox_of(sandbox: str) -> Sandbox:
    if sandbox not in _sandboxes:
        _sandboxes[sandbox] = Sandbox(sandbox)
    return _sandboxes[sandbox]
