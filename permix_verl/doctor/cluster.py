"""Ray: one to be started here, or one that is there."""

import os
from collections.abc import Iterator

from packaging.version import Version

from permix_verl.doctor.finding import Finding, Setup, error, ok, warning
from permix_verl.doctor.packages import installed
from permix_verl.ray_cluster import host_and_port, knock

TOKEN_SINCE = Version("2.60")


def ray_cluster(setup: Setup) -> Iterator[Finding]:
    """An address that answers, and the token that Ray wants of every process of a cluster."""
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
    version = installed("ray")
    token = os.environ.get("RAY_AUTH_TOKEN") or os.environ.get("RAY_AUTH_TOKEN_PATH")
    if version and Version(version) >= TOKEN_SINCE and not token:
        yield error(
            f"Ray {version} asks for a token, and RAY_AUTH_TOKEN is not set",
            "export RAY_AUTH_MODE=token RAY_AUTH_TOKEN=... as on the cluster's nodes",
        )
        return
    yield ok(f"a cluster answers at {address}")


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
