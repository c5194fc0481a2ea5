"""Doctor checks of Ray: address, token and resources."""

import ast
import socket
from typing import Any

import pytest

from permix_verl.preflight.doctor import cluster
from permix_verl.preflight.doctor.source_tree import SourceTree
from permix_verl.preflight.doctor.types import Setup
from permix_verl.runs.actor_resources import CPUS_PER_RANK, actor_resources
from permix_verl.utils.ray_token import TokenAuth

from ...support.doctor import only, problems, setup_with


def test_a_ray_cluster_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    assert "2 nodes and no Ray cluster" in only(cluster.ray_cluster, setup_with("trainer.nnodes=2"))
    monkeypatch.setenv("RAY_ADDRESS", "nonsense")
    assert "is not HOST:PORT" in only(cluster.ray_cluster, Setup())
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{listening.getsockname()[1]}"
        monkeypatch.setenv("RAY_ADDRESS", address)
        assert f"nothing answers at RAY_ADDRESS={address}" in only(cluster.ray_cluster, Setup())
        listening.listen()
        monkeypatch.setattr(
            cluster, "probe_token_auth", lambda head: TokenAuth(sends=False, has_token=False, reply="accepted")
        )
        assert problems(cluster.ray_cluster, Setup()) == []


ONE_RANK = ("trainer.n_gpus_per_node=1", "transfer_queue.backend.SimpleStorage.num_data_storage_units=1")


def test_fewer_logical_cpus_than_verls_actors_take(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    told = "Ray has 4 CPUs, but verl's actors take 5 and would wait forever; set ray_kwargs.ray_init.num_cpus=64"
    assert told in only(cluster.logical_cpus, setup_with("ray_kwargs.ray_init.num_cpus=4", *ONE_RANK))
    assert problems(cluster.logical_cpus, setup_with("ray_kwargs.ray_init.num_cpus=5", *ONE_RANK)) == []


def test_places_are_counted_as_verl_takes_them() -> None:
    one = dict(each.split("=") for each in ONE_RANK)
    assert actor_resources(one) == {"CPU": 5, "GPU": 1}
    assert actor_resources({}) == {"CPU": 1 + 8 + 3 * 8, "GPU": 8}
    assert actor_resources(one | {"trainer.nnodes": "2"}) == {"CPU": 8, "GPU": 2}
    verl = SourceTree("verl")
    pools = fields_with_defaults(verl.parse("single_controller/ray/base.py"), "ResourcePoolManager")
    assert pools["max_colocate_count"] == CPUS_PER_RANK


def fields_with_defaults(tree: ast.Module, name: str) -> dict[str, Any]:
    owner = next(node for node in ast.walk(tree) if isinstance(node, ast.ClassDef) and node.name == name)
    return {
        field.target.id: field.value.value
        for field in owner.body
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        if isinstance(field.value, ast.Constant)
    }


def node_with(cpus: float, gpus: float, free: float | None = None) -> tuple[dict[str, float], dict[str, float]]:
    return {"CPU": cpus, "GPU": gpus}, {"CPU": cpus if free is None else free, "GPU": gpus}


@pytest.mark.parametrize(
    ("nodes", "overrides", "severity", "told"),
    [
        ([node_with(4, 1)], (), "error", "has 4 CPUs, 4 free; verl's actors take 5 and would wait forever"),
        ([node_with(8, 0)], (), "error", "has 0 GPUs, 0 free; verl's actors take 1 and would wait forever"),
        ([node_with(8, 1, free=2)], (), "warning", "has 8 CPUs, 2 free; verl's actors take 5, so the run would wait"),
        ([node_with(8, 2), node_with(2, 0)], ("trainer.nnodes=2",), "error", "1 of 2 nodes at HOST have the 3 CPUs"),
        ([node_with(5, 1)], (), "", ""),
        ([node_with(5, 1), node_with(3, 1)], ("trainer.nnodes=2",), "", ""),
        ([], (), "", ""),
    ],
)
def test_a_cluster_without_room_for_verls_actors(
    monkeypatch: pytest.MonkeyPatch, nodes: list[Any], overrides: tuple[str, ...], severity: str, told: str
) -> None:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(8)
        address = f"127.0.0.1:{listening.getsockname()[1]}"
        monkeypatch.setenv("RAY_ADDRESS", address)
        accepted = TokenAuth(sends=False, has_token=False, reply="accepted", nodes=nodes)
        monkeypatch.setattr(cluster, "probe_token_auth", lambda head: accepted)
        setup = setup_with(*ONE_RANK, *overrides)
        found = problems(cluster.ray_cluster, setup)
        assert problems(cluster.logical_cpus, setup) == []
    assert {finding.severity for finding in found} == ({severity} if severity else set())
    assert not severity or told.replace("HOST", address) in found[0].text
