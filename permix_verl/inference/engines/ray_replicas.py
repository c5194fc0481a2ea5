"""Engine of several vLLM replicas under Ray: data-parallel on one machine, or over a cluster (``RAY_ADDRESS``).

Each replica is an actor with the GPUs of one engine. A request goes to the replica with the most room.
"""

import time
from collections.abc import Sequence
from typing import Any

from permix_verl.errors import UserError
from permix_verl.inference.engines import Completion, Request
from permix_verl.utils.ray_cluster import connect

POLL_S = 0.05


class Replica:
    """Actor with a vLLM engine, whose steps run in calls of :meth:`work`."""

    def __init__(self, model: str, adapter: str | None, engine_args: dict[str, Any]) -> None:
        from permix_verl.inference.engines.vllm import VllmEngine

        self._engine = VllmEngine(model, adapter, **engine_args)

    def room(self) -> int:
        """Return how many requests the empty engine can use."""
        return self._engine.room()

    def check_lengths(self, prompts: Sequence[str], max_tokens: int) -> None:
        self._engine.check_lengths(prompts, max_tokens)

    def work(self, requests: Sequence[Request], seconds: float = 1.0) -> list[Completion]:
        """Submit requests, generate for some seconds, and return the finished completions."""
        if requests:  # none in a call for running requests; a tokenizer refuses an empty list
            self._engine.submit(requests)
        until = time.monotonic() + seconds
        completions = self._engine.collect()
        while time.monotonic() < until and self._engine.busy():
            completions += self._engine.collect()
        return completions


class RayReplicas:
    """An :class:`~permix_verl.inference.engines.Engine` of several replicas.

    Raises:
        UserError: the cluster cannot be reached, or has too few GPUs.
    """

    def __init__(
        self,
        replicas: int,
        model: str,
        adapter: str | None = None,
        *,
        tensor_parallel_size: int = 1,
        **engine_args: Any,
    ) -> None:
        import ray

        self._ray = ray
        self._started_ray = not ray.is_initialized()
        if self._started_ray:
            connect()
        gpus = int(ray.cluster_resources().get("GPU", 0))
        wanted = replicas * tensor_parallel_size
        if 0 < gpus < wanted:
            raise UserError(
                f"{replicas} replicas of {tensor_parallel_size} GPUs need {wanted}, and Ray has {gpus}",
                "lower --data-parallel-size or --tensor-parallel-size",
            )
        options = {"num_gpus": tensor_parallel_size} if gpus else {"num_cpus": 1}
        actor = ray.remote(Replica)
        arguments = {"tensor_parallel_size": tensor_parallel_size} | engine_args
        self._replicas = [actor.options(**options).remote(model, adapter, arguments) for _ in range(replicas)]
        self._capacity = [self._result(call) for call in [replica.room.remote() for replica in self._replicas]]
        self._running = [0] * replicas
        self._waiting: list[list[Request]] = [[] for _ in range(replicas)]
        self._calls: dict[Any, int] = {}

    def check_lengths(self, prompts: Sequence[str], max_tokens: int) -> None:
        self._result(self._replicas[0].check_lengths.remote(prompts, max_tokens))

    def room(self) -> int:
        return sum(self._room_of(number) for number in range(len(self._replicas)))

    def submit(self, requests: Sequence[Request]) -> None:
        for request in requests:
            number = max(range(len(self._replicas)), key=self._room_of)
            self._waiting[number].append(request)
            self._running[number] += 1

    def collect(self) -> list[Completion]:
        idle = set(range(len(self._replicas))) - set(self._calls.values())
        for number in idle:
            if self._running[number]:
                call = self._replicas[number].work.remote(self._waiting[number])
                self._waiting[number] = []
                self._calls[call] = number
        if not self._calls:
            return []
        ready, _ = self._ray.wait(list(self._calls), num_returns=1, timeout=POLL_S)
        completions = []
        for call in ready:
            number = self._calls.pop(call)
            finished = self._result(call)
            self._running[number] -= len(finished)
            completions += finished
        return completions

    def close(self) -> None:
        for replica in self._replicas:
            self._ray.kill(replica)
        if self._started_ray:
            self._ray.shutdown()

    def _result(self, call: Any) -> Any:
        """Return the result of a replica's call; its own :class:`UserError` is raised here again."""
        try:
            return self._ray.get(call)
        except self._ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, UserError):
                raise error.cause from None
            raise
        except self._ray.exceptions.RayActorError as error:
            # The last line of Ray's message is the error of a replica that failed to start.
            lines = [line.strip() for line in str(error).splitlines() if line.strip()]
            raise UserError(
                f"a replica died ({lines[-1] if lines else type(error).__name__}); stored rows are kept",
                "fix the cause (usually memory), and the same command resumes",
            ) from error

    def _room_of(self, number: int) -> int:
        return max(0, int(self._capacity[number]) - self._running[number])
