"""Checks of Ray: of a running cluster, or of a local one that the run will start."""

import os
from collections.abc import Iterator, Mapping, Sequence

from permix_verl.preflight.doctor.packages import installed_version
from permix_verl.preflight.doctor.types import Finding, Setup, error, ok, warning
from permix_verl.runs.actor_resources import CPUS_PER_RANK, RANK_RESOURCES, actor_resources
from permix_verl.utils.ray_cluster import check_port_open, host_and_port
from permix_verl.utils.ray_token import TokenAuth, probe_token_auth

Nodes = Sequence[tuple[Mapping[str, float], Mapping[str, float]]]
"""(total, free) resources of each node, by resource."""


def ray_cluster(setup: Setup) -> Iterator[Finding]:
    """Check that the cluster at ``RAY_ADDRESS`` answers, accepts Ray's token settings, and has enough resources."""
    address = os.environ.get("RAY_ADDRESS")
    nodes = setup.number("trainer.nnodes", 1)
    if not address:
        if nodes > 1:
            yield error(
                f"{nodes} nodes and no Ray cluster", "run ray start on each node, and set RAY_ADDRESS=HOST:6379"
            )
        return
    host_port = host_and_port(address)
    if host_port is None:
        yield error(
            f"RAY_ADDRESS={address} is not HOST:PORT", "set RAY_ADDRESS=HOST:6379, as printed by ray start --head"
        )
        return
    try:
        check_port_open(host_port)
    except OSError as problem:
        yield error(
            f"nothing answers at RAY_ADDRESS={address} ({problem})", "run ray start --head there, or unset RAY_ADDRESS"
        )
        return
    try:
        auth = probe_token_auth(None if address.startswith("ray://") else f"{host_port[0]}:{host_port[1]}")
    except RuntimeError as problem:
        yield warning(f"Ray {installed_version('ray')} could not be probed for its token ({problem})", "run ray status")
        return
    yield _authentication(address, auth)
    if auth.nodes and setup.config is not None and setup.trainer != "sft":
        yield from _capacity(setup, address, auth.nodes)


def _authentication(address: str, auth: TokenAuth) -> Finding:
    """Check Ray's token settings against the cluster; a ``ray://`` address is not probed."""
    if auth.missing:
        return error(f"RAY_AUTH_MODE=token, but Ray has no token to send ({auth.missing})", auth.remedy())
    if auth.reply == "silent":
        return error(
            f"the process at RAY_ADDRESS={address} does not answer as the head of a Ray cluster ({auth.detail})",
            "set RAY_ADDRESS=HOST:6379, as printed by ray start --head",
        )
    if auth.reply == "refused":
        mode = os.environ.get("RAY_AUTH_MODE", "unset")
        sent = "another one" if auth.sends else f"none, because RAY_AUTH_MODE is {mode}"
        return error(f"the cluster at RAY_ADDRESS={address} requires its token, but Ray sends {sent}", auth.remedy())
    return ok(f"a cluster answers at {address}; Ray sends it {'a' if auth.sends else 'no'} token")


def logical_cpus(setup: Setup) -> Iterator[Finding]:
    """Check the logical CPUs of a Ray that the run starts: with too few, verl's actors wait forever."""
    if setup.trainer == "sft" or setup.config is None or os.environ.get("RAY_ADDRESS"):
        return
    needed = actor_resources(setup.settings)["CPU"]
    cpus = setup.number("ray_kwargs.ray_init.num_cpus", os.cpu_count() or 1)
    if cpus < needed:
        yield error(
            f"Ray has {cpus} CPUs, but verl's actors take {needed} and would wait forever",
            f"set ray_kwargs.ray_init.num_cpus={max(64, needed)} (they are logical)",
        )
    else:
        yield ok(f"{cpus} logical CPUs, of which verl's actors take {needed}")


def _capacity(setup: Setup, address: str, nodes: Nodes) -> Iterator[Finding]:
    """Compare the cluster's resources with what verl's actors take."""
    for resource, needed in actor_resources(setup.settings).items():
        total, free = (sum(node[index].get(resource, 0) for node in nodes) for index in (0, 1))
        state = f"the cluster at {address} has {total:g} {resource}s, {free:g} free; verl's actors take {needed}"
        if total < needed:
            advised = max(32, needed) if resource == "CPU" else needed
            yield error(
                f"{state} and would wait forever",
                f"run ray start --num-{resource.lower()}s {advised} (they are logical), or add nodes",
            )
        elif free < needed:
            yield warning(f"{state}, so the run would wait for resources in use", "run ray status")
        else:
            yield ok(state)
    ranks, wanted = setup.number("trainer.n_gpus_per_node", 8), setup.number("trainer.nnodes", 1)
    fit = sum(all(total.get(name, 0) >= each * ranks for name, each in RANK_RESOURCES.items()) for total, _ in nodes)
    if fit < wanted:
        yield error(
            f"{fit} of {len(nodes)} nodes at {address} have the {CPUS_PER_RANK * ranks} CPUs and {ranks} GPUs for "
            f"{ranks} ranks, but trainer.nnodes={wanted}",
            f"run ray start --num-cpus {max(32, CPUS_PER_RANK * ranks)} --num-gpus {ranks} on each node (logical)",
        )
