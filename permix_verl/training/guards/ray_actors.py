"""Ray actors that rollouts depend on, as the watchdog probes them."""

from functools import partial
from typing import Any

import ray
import transfer_queue as tq

from permix_verl.training.guards import effective_config
from permix_verl.training.guards.watchdog import Probe, UnreachableError


class RayReply:
    """Pending reply to a call of an actor (:class:`permix_verl.training.guards.watchdog.PendingReply`)."""

    def __init__(self, ref: Any) -> None:
        self.ref = ref

    def wait(self, timeout_s: float) -> tuple[bool, Any]:
        ready, _ = ray.wait([self.ref], timeout=timeout_s)
        try:
            return (True, ray.get(ready[0])) if ready else (False, None)
        except ray.exceptions.ActorUnavailableError as error:  # also while Ray has not given up a dead node
            raise UnreachableError(str(error)) from error
        except ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, effective_config.EngineDiedError):
                raise error.cause from error
            return True, None  # the state is unreadable, but the actor replies


def _ready(actor: Any) -> RayReply:
    return RayReply(actor.__ray_ready__.remote())


def _server_state(server: Any) -> RayReply:
    return RayReply(server.__ray_call__.remote(_progress))


def _progress(server: Any) -> str:
    state = effective_config.read_server(server)
    return f"{state[0]} unfinished requests, {state[1]} tokens so far" if state and state[0] else ""


def list_ray_actors(trainer: Any) -> dict[str, Probe]:
    """Return a probe for each actor that rollouts depend on, by name."""
    parts: dict[str, Probe] = {
        name: partial(_server_state, server) for name, server in rollout_servers(trainer).items()
    }
    groups = {
        "reward worker": trainer.get_reward_handles() or [],
        "agent loop worker": trainer.agent_loop_manager.agent_loop_workers,
        "transfer queue storage": _storage_units(),
    }
    for kind, actors in groups.items():
        parts |= {f"{kind} {number}": partial(_ready, actor) for number, actor in enumerate(actors)}
    controller = getattr(tq.interface, "_TQ_CONTROLLER", None)
    if controller is not None:
        parts["the transfer queue's controller"] = partial(_ready, controller)
    return parts


def rollout_servers(trainer: Any) -> dict[str, Any]:
    """Return verl's vLLM servers by name."""
    return {
        f"rollout server {number}" + (f" (node {node})" if node else ""): server
        for number, replica in enumerate(trainer.llm_server_manager.get_replicas())
        for node, server in enumerate(replica.servers)
    }


def _storage_units() -> list[Any]:
    storage = (getattr(tq.interface, "_TQ_STORAGE", None) or {}).get("SimpleStorage", {})
    return list(storage.values())
