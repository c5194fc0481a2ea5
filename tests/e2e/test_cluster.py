"""The smoke test on an existing Ray cluster of two nodes, one rank on each; and one node dies in the middle."""

import json
import os
import re
import secrets
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from permix_verl.data.schema import read_draw
from permix_verl.personas.mixing import epoch_order
from permix_verl.preflight.doctor.cluster import ray_cluster
from permix_verl.preflight.doctor.types import Setup
from permix_verl.runs import metrics as m
from permix_verl.runs.folder import RunFolder
from permix_verl.runs.trainers import Trainer
from permix_verl.training.trainer_process import STALL_KEY, train

from ..support.configs import bare
from ..support.ray_nodes import TwoNodes
from .conftest import SHORT, Recipe, Run, dumped, wait_for

SAMPLES = 4
KNOBS = SHORT | {"BATCH": "8", "ROLLOUTS": str(SAMPLES), "SAVE_FREQ": "1"}


@pytest.fixture(scope="module")
def nodes() -> Iterator[TwoNodes]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "token")
        patch.setenv("RAY_AUTH_TOKEN", secrets.token_hex(16))
        made = TwoNodes(os.environ)
        try:
            yield made
        finally:
            made.close()


@pytest.fixture(scope="module")
def cluster(nodes: TwoNodes) -> str:
    return nodes.address


def test_the_doctor_checks_the_clusters_token(cluster: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", cluster)
    assert [finding.severity for finding in ray_cluster(Setup())] == ["ok"]
    with monkeypatch.context() as patch:
        patch.delenv("RAY_AUTH_MODE")
        assert "Ray sends none, because RAY_AUTH_MODE is unset" in next(iter(ray_cluster(Setup()))).text
    monkeypatch.setenv("RAY_AUTH_TOKEN", "another")
    assert "Ray sends another one" in next(iter(ray_cluster(Setup()))).text


def test_the_doctor_reports_missing_resources_of_the_cluster(cluster: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", cluster)
    for ranks, severities in ((1, ["ok", "ok", "ok"]), (2, ["ok", "ok", "error", "error"])):
        config = bare("trainer.nnodes=2", f"trainer.n_gpus_per_node={ranks}")
        findings = list(ray_cluster(Setup(config=config)))
        assert [finding.severity for finding in findings] == severities, findings


def test_an_unsatisfiable_placement_ends_a_launch(
    cluster: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Use a small driver that waits for placement as verl's does."""
    monkeypatch.setenv("RAY_ADDRESS", cluster)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent / "faults"))
    monkeypatch.setattr("permix_verl.training.launch_watch.UNPLACEABLE_S", 3.0)
    folder = RunFolder(tmp_path, Trainer("asks_too_much", False, "model", "actor", "data.pt"))
    for part in (folder.logs, folder.metrics, folder.checkpoints):
        part.mkdir()
    status, log = train(folder, bare(f"{STALL_KEY}=3"), done=0, total=1, min_agreement=0.99)
    assert status == 1
    cause = (tmp_path / "cause.txt").read_text()
    assert cause.startswith("placement is stuck: asked for 1000 CPU for the placement group too_large, 64 of 64 free")
    assert "is gone: ValueError: this actor cannot be made" in log.read_text()


@dataclass(frozen=True)
class NodeLost:
    """A run whose second node dies at a step in the middle, and the same command after the node's return."""

    first: Run
    seconds: float
    second: Run


@pytest.fixture(scope="module")
def node_lost(recipe: Recipe, nodes: TwoNodes, tmp_path_factory: pytest.TempPathFactory) -> NodeLost:
    folder = tmp_path_factory.mktemp("cluster") / "run"
    killed: list[float] = []

    def kill_the_second_node_in_step_2() -> None:
        wait_for(lambda: 1 in m.training_steps(m.read_metrics(folder / "metrics")))
        nodes.kill_second()
        killed.append(time.monotonic())

    knobs = {"NNODES": "2", "RAY_ADDRESS": nodes.address, **KNOBS}
    first = recipe("smoke_gpu.sh", folder, meanwhile=kill_the_second_node_in_step_2, **knobs)
    seconds = time.monotonic() - killed[0]
    nodes.start_second()
    return NodeLost(first, seconds, recipe("smoke_gpu.sh", folder, **knobs).check())


@pytest.fixture(scope="module")
def run(node_lost: NodeLost) -> Run:
    return node_lost.second


def test_a_run_whose_node_dies_ends_and_names_the_cause(node_lost: NodeLost) -> None:
    assert node_lost.first.status not in (0, 3)
    assert node_lost.seconds < 120
    errors = [line for line in node_lost.first.output.splitlines() if line.startswith("error: ")]
    assert re.match(r"error: node [\d.]+ of the Ray cluster is gone; start Ray there again", errors[-1])
    # The watchdog ends it or, if verl's trainer ran on that node, the driver, whose call may fail before Ray gives up.
    assert re.search(" is gone|cannot be reached any more, perhaps with its node", errors[-2])


def test_the_same_command_resumes_after_the_nodes_return(node_lost: NodeLost) -> None:
    assert "going on after step 1 of 3" in node_lost.second.output


def test_personas_are_sampled_as_on_one_node(run: Run) -> None:
    """The persona depends on (seed, epoch, row) only, and so does the order of rows."""
    file = run.folder / "data" / "train.parquet"
    draw = read_draw(str(file))
    assert draw is not None
    row_ids = [info["row_id"] for info in pq.read_table(file)["extra_info"].to_pylist()]
    order = [row_ids[place] for place in epoch_order(row_ids, draw.seed, epoch=0)]
    for step in (1, 2, 3):
        records = [json.loads(line) for line in (run.folder / "records" / f"{step}.jsonl").open()]
        drawn = {row_id: draw.persona(0, row_id) for row_id in order[8 * (step - 1) : 8 * step]}
        expected = {(row_id, persona.key) for row_id, persona in drawn.items() if persona}
        assert Counter((row["row_id"], row["persona"]) for row in records) == dict.fromkeys(expected, SAMPLES)


def test_two_nodes_train_together(run: Run) -> None:
    steps = m.training_steps(run.metrics)
    assert list(steps) == [1, 2, 3]
    assert all(values[m.ROLLOUT_ACTOR_CORR] > 0.99 for values in steps.values())
    shards = sorted(path.name for path in (run.folder / "checkpoints").glob("global_step_3/actor/model_*.pt"))
    assert shards == ["model_world_size_2_rank_0.pt", "model_world_size_2_rank_1.pt"]
    assert sum(dumped(run.folder)[1].values()) == 8 * SAMPLES


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
    assert "error: NNODES=2 needs a Ray cluster; start one (ray start, on each node) and set RAY_ADDRESS" in run.output


def test_programs_are_judged_as_tasks_of_the_cluster(cluster: str) -> None:
    """The statuses equal those of a local run; concurrency equals the cluster's number of cores."""
    probe = """
import os, time
from concurrent.futures import ThreadPoolExecutor
import ray
from permix_verl.code import Cases, ProgramCase
from permix_verl.code.scheduler import judge_concurrency, make_judge
judge = make_judge()
cases = Cases((ProgramCase("1", "2"), ProgramCase("5", "6")))
programs = ["print(int(input()) + 1)", "print(2)", "1 / 0", None] * 4
with ThreadPoolExecutor(judge_concurrency()) as pool:
    print([one.status for one in pool.map(judge, programs, [cases] * len(programs))])
print(judge_concurrency() > os.cpu_count(), ray.cluster_resources()["CPU"])
"""
    environment = os.environ | {"RAY_ADDRESS": cluster}
    done = subprocess.run([sys.executable, "-c", probe], env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    statuses, resources = done.stdout.strip().splitlines()[-2:]
    assert statuses == str(["correct", "wrong", "wrong", "no_answer"] * 4)
    assert resources == "True 64.0"
