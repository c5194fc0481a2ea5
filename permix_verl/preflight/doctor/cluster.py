"""Ray: one to be started here, or one that is there."""

import os
from collections.abc import Iterator, Mapping, Sequence

from permix_verl.preflight.doctor.packages import installed
from permix_verl.preflight.doctor.types import Finding, Setup, error, ok, warning
from permix_verl.utils.ray_cluster import host_and_port, knock
from permix_verl.utils.ray_token import Login, login

COLOCATED = 3
"""CPUs that verl reserves for each rank, one for each worker that may come to live there."""
Nodes = Sequence[tuple[Mapping[str, float], Mapping[str, float]]]
"""What each node has, and what of that is free."""
A_RANK: Mapping[str, int] = {"CPU": COLOCATED, "GPU": 1}
"""What a rank takes of its node."""


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
    try:
        found = login(None if address.startswith("ray://") else f"{place[0]}:{place[1]}")
    except RuntimeError as problem:
        yield warning(f"Ray {installed('ray')} could not be asked about its token ({problem})", "see ray status")
        return
    yield _entrance(address, found)
    if found.nodes and setup.overrides and setup.trainer != "sft":
        yield from _room(setup, address, found.nodes)


def _entrance(address: str, found: Login) -> Finding:
    """Whether Ray would be let in with what it sends from here; of a ``ray://`` address only what it sends."""
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
    """Ray places verl's actors on CPUs that it is told of; with too few they wait for ever. Of a Ray started here."""
    if setup.trainer == "sft" or not setup.overrides or os.environ.get("RAY_ADDRESS"):
        return
    needed = places(setup.settings)["CPU"]
    asked = setup.settings.get("ray_kwargs.ray_init.num_cpus", "null")
    there = int(asked) if asked.isdigit() else os.cpu_count() or 1
    if there < needed:
        yield error(
            f"Ray is told of {there} CPUs, and verl's actors take {needed}: they would wait for ever",
            f"ray_kwargs.ray_init.num_cpus={max(64, needed)} (they are logical)",
        )
    else:
        yield ok(f"{there} logical CPUs, of which verl's actors take {needed}")


def _room(setup: Setup, address: str, nodes: Nodes) -> Iterator[Finding]:
    """Whether verl's actors find room on a cluster that is there."""
    for resource, needed in places(setup.settings).items():
        total, free = (sum(node[which].get(resource, 0) for node in nodes) for which in (0, 1))
        has = f"the cluster at {address} has {total:g} {resource}s, {free:g} free, and verl's actors take {needed}"
        if total < needed:
            told = max(32, needed) if resource == "CPU" else needed
            yield error(
                f"{has}: they would wait for ever",
                f"ray start --num-{resource.lower()}s {told} (they are logical), or more nodes",
            )
        elif free < needed:
            yield warning(f"{has}: the run would wait for what others hold", "see ray status")
        else:
            yield ok(has)
    ranks, wanted = setup.number("trainer.n_gpus_per_node", 8), setup.number("trainer.nnodes", 1)
    fit = sum(all(total.get(name, 0) >= each * ranks for name, each in A_RANK.items()) for total, _ in nodes)
    if fit < wanted:
        yield error(
            f"{fit} of {len(nodes)} nodes at {address} have the {COLOCATED * ranks} CPUs and {ranks} GPUs of "
            f"{ranks} ranks, and trainer.nnodes={wanted}",
            f"ray start --num-cpus {max(32, COLOCATED * ranks)} --num-gpus {ranks} on each node (they are logical)",
        )


def places(settings: Mapping[str, str]) -> dict[str, int]:
    """What verl's actors hold of a Ray cluster, by resource.

    A CPU each for the controller of its transfer queue and for every storage unit, and :data:`A_RANK`. Its other actors
    (the trainer, servers, agent loops, reward workers) hold none.
    """

    def number(key: str, default: int) -> int:
        value = settings.get(key, "")
        return int(value) if value.isdigit() else default

    ranks = number("trainer.nnodes", 1) * number("trainer.n_gpus_per_node", 8)
    if settings.get("reward.reward_model.enable_resource_pool", "").lower() == "true":
        ranks += number("reward.reward_model.nnodes", 0) * number("reward.reward_model.n_gpus_per_node", 8)
    units = number("transfer_queue.backend.SimpleStorage.num_data_storage_units", 8)
    return {"CPU": 1 + units + A_RANK["CPU"] * ranks, "GPU": A_RANK["GPU"] * ranks}
