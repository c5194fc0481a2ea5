"""The smoke test on an existing Ray cluster of two nodes, here two raylets on one machine, one rank on each."""

import json
import os
import secrets
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from permix_verl.training import metrics as m

from .conftest import SHORT, Recipe, Run, dumped


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """The address of a cluster of two raylets, ended by its processes' own ids."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    address = f"127.0.0.1:{port}"
    mark = secrets.token_hex(8)
    patch = pytest.MonkeyPatch()
    patch.setenv("RAY_AUTH_MODE", "token")
    patch.setenv("RAY_AUTH_TOKEN", secrets.token_hex(16))
    environment = os.environ | {"PERMIX_TEST_CLUSTER": mark}
    ray = [sys.executable, "-m", "ray.scripts.scripts", "start", "--num-cpus", "32", "--num-gpus", "1"]
    # Unix sockets have short paths, and pytest's folders are long.
    head = ["--head", "--port", str(port), "--include-dashboard", "false", "--temp-dir", f"/tmp/ray-{mark}"]
    try:
        for more in (head, ["--address", address]):
            done = subprocess.run([*ray, *more], env=environment, capture_output=True, text=True, timeout=120)
            assert done.returncode == 0, done.stdout + done.stderr
        yield address
    finally:
        patch.undo()
        for process in psutil.process_iter():
            try:
                if process.environ().get("PERMIX_TEST_CLUSTER") == mark and process.pid != os.getpid():
                    process.kill()
            except psutil.Error:
                continue


@pytest.fixture(scope="module")
def run(recipe: Recipe, cluster: str, tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("cluster") / "run"
    return recipe(
        "smoke_gpu.sh", folder, NNODES="2", RAY_ADDRESS=cluster, **SHORT | {"BATCH": "8", "SAVE_FREQ": "3"}
    ).check()


def test_two_nodes_train_together(run: Run) -> None:
    steps = m.training_steps(run.metrics)
    assert list(steps) == [1, 2, 3]
    assert all(values[m.AGREEMENT] > 0.99 for values in steps.values())
    shards = sorted(path.name for path in (run.folder / "checkpoints").glob("global_step_3/actor/model_*.pt"))
    assert shards == ["model_world_size_2_rank_0.pt", "model_world_size_2_rank_1.pt"]
    assert sum(dumped(run.folder)[1].values()) == 8 * 8


def test_the_smoke_test_leaves_its_evidence(run: Run) -> None:
    evidence = json.loads((run.folder / "evidence.json").read_text())
    assert evidence["passed"] is True
    assert list(evidence["steps"]) == ["1", "2", "3"]
    for step in evidence["steps"].values():
        assert step["agreement"] > 0.99
        assert step["step_s"] > step["gen_s"] > 0
        assert step["max_memory_allocated_gb"] > 0
    assert evidence["packages"]["verl"] == "0.9.1"
    assert evidence["verdict"]["adapter"]["largest"] < 1e-4
    assert evidence["live"]["optimizer"]["clip_grad"] == 0.1
    assert evidence["live"]["precision"]["compute"] == "torch.float32", "the profile reached the cluster's workers"
    assert f"send back {run.folder}/evidence.json" in run.output


OTHER_RUN = """
import ray, sys, time
ray.init(address=sys.argv[1], log_to_driver=False)
queue = ray.remote(type("Queue", (), {})).options(name="TransferQueueController", namespace="transfer_queue").remote()
ray.get(queue.__ray_ready__.remote())
print("ready", flush=True)
time.sleep(600)
"""


def test_a_second_run_on_a_cluster_is_refused(recipe: Recipe, cluster: str, tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", OTHER_RUN, cluster], stdout=subprocess.PIPE, text=True) as other:
        try:
            assert other.stdout is not None
            assert other.stdout.readline().strip() == "ready"
            run = recipe("run_permix_grpo.sh", tmp_path / "run", RAY_ADDRESS=cluster)
        finally:
            other.kill()
    assert run.status == 2
    assert f"error: another run is training on the Ray cluster {cluster}" in run.output


def test_several_nodes_without_a_cluster_are_refused(recipe: Recipe, tmp_path: Path) -> None:
    run = recipe("run_permix_grpo.sh", tmp_path / "run", NNODES="2")
    assert run.status == 2
    assert "error: NNODES=2 needs a Ray cluster: start one (ray start, on each node) and set RAY_ADDRESS" in run.output


def test_programs_are_judged_as_tasks_of_the_cluster(cluster: str) -> None:
    """With the verdicts of this machine, as many at a time as the cluster has cores."""
    probe = """
import os, time
from concurrent.futures import ThreadPoolExecutor
import ray
from permix_verl.programs import Case, Cases
from permix_verl.programs.cluster import judges_at_a_time, make_judge
judge = make_judge()
cases = Cases((Case("1", "2"), Case("5", "6")))
programs = ["print(int(input()) + 1)", "print(2)", "1 / 0", None] * 4
with ThreadPoolExecutor(judges_at_a_time()) as pool:
    print([one.status for one in pool.map(judge, programs, [cases] * len(programs))])
print(judges_at_a_time() > os.cpu_count(), ray.cluster_resources()["CPU"])
"""
    environment = os.environ | {"RAY_ADDRESS": cluster}
    done = subprocess.run([sys.executable, "-c", probe], env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    statuses, resources = done.stdout.strip().splitlines()[-2:]
    assert statuses == str(["correct", "wrong", "wrong", "no_answer"] * 4)
    assert resources == "True 64.0"
