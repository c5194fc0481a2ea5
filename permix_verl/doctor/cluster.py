"""Ray: one to be started here, or one that is there."""

import os
from collections.abc import Iterator

from permix_verl.doctor.finding import Finding, Setup, error, ok, warning
from permix_verl.doctor.packages import installed
from permix_verl.ray_cluster import host_and_port, knock
from permix_verl.ray_token import login


def ray_cluster(setup: Setup) -> Iterator[Finding]:
    """An address that answers, and a cluster that lets Ray in with what it sends from here, a token or none."""
    address = os.environ.get("RAY_ADDRESS")
    nodes = setup.number("trainer.nnodes", 1)
    if not address:
        if nodes > 1:
            yield error(f"{nodes} nodes and no Ray cluster", "ray start on each node, and RAY_ADDRESS=HOST:6379")
        return
    place = host_and_port(address)
    if place is None:
        yield error(f"RAY_ADDRESS={address} is no HOST:PORT", "RAY_ADDRESS=HOST:6379, as ray start --head says it")
        return
    try:
        knock(place)
    except OSError as problem:
        yield error(
            f"nothing answers at RAY_ADDRESS={address} ({problem})", "ray start --head there, or unset RAY_ADDRESS"
        )
        return
    yield _entrance(address, None if address.startswith("ray://") else f"{place[0]}:{place[1]}")


def _entrance(address: str, head: str | None) -> Finding:
    """Whether Ray would be let in with what it sends from here; of a ``ray://`` address only what it sends."""
    try:
        found = login(head)
    except RuntimeError as problem:
        return warning(f"Ray {installed('ray')} could not be asked about its token ({problem})", "see ray status")
    if found.missing:
        return error(f"RAY_AUTH_MODE=token, and Ray has no token to send ({found.missing})", found.remedy())
    if found.answer == "silent":
        return error(
            f"what listens at RAY_ADDRESS={address} does not answer as the head of a Ray cluster ({found.detail})",
            "RAY_ADDRESS=HOST:6379, as ray start --head says it",
        )
    if found.answer == "refused":
        mode = os.environ.get("RAY_AUTH_MODE", "unset")
        sent = "another one" if found.sends else f"none, as RAY_AUTH_MODE is {mode}"
        return error(f"the cluster at RAY_ADDRESS={address} asks for its token, and Ray sends {sent}", found.remedy())
    return ok(f"a cluster answers at {address}; Ray sends it {'a' if found.sends else 'no'} token")


def logical_cpus(setup: Setup) -> Iterator[Finding]:
    """Ray places verl's actors on CPUs that it is told of; with too few, the queue waits for ever, in silence."""
    if setup.trainer == "sft" or not setup.overrides or os.environ.get("RAY_ADDRESS"):
        return
    asked = setup.settings.get("ray_kwargs.ray_init.num_cpus", "null")
    there = int(asked) if asked.isdigit() else os.cpu_count() or 1
    workers = setup.number("actor_rollout_ref.rollout.agent.num_workers", 8) + setup.number("reward.num_workers", 8)
    units = setup.number("transfer_queue.backend.SimpleStorage.num_data_storage_units", 8)
    # And one each for the task runner, the queue's controller, and a rank.
    needed = workers + units + 2 + setup.number("trainer.n_gpus_per_node", 1)
    if there < needed:
        yield warning(
            f"Ray is told of {there} CPUs, verl's actors take about {needed}; it waits in silence for those it lacks",
            f"ray_kwargs.ray_init.num_cpus={max(64, needed)} (they are logical)",
        )
    else:
        yield ok(f"{there} logical CPUs")
