"""An existing Ray cluster of two nodes, here two raylets on one machine: one data-parallel rank on each."""

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

from .conftest import Recipe, dumped


@pytest.fixture
def cluster(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a cluster of two raylets, ended by its processes' own ids."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    address = f"127.0.0.1:{port}"
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN", secrets.token_hex(16))
    mark = secrets.token_hex(8)
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
        for process in psutil.process_iter():
            try:
                if process.environ().get("PERMIX_TEST_CLUSTER") == mark and process.pid != os.getpid():
                    process.kill()
            except psutil.Error:
                continue


def test_two_nodes_train_together(recipe: Recipe, cluster: str, tmp_path: Path) -> None:
    overrides = ["trainer.val_before_train=False", "trainer.test_freq=-1", "trainer.total_training_steps=2"]
    run = recipe("run_permix_grpo.sh", tmp_path / "run", *overrides, NNODES="2", RAY_ADDRESS=cluster).check()
    steps = m.training_steps(run.metrics)
    assert list(steps) == [1, 2]
    assert all(values[m.AGREEMENT] > 0.99 for values in steps.values())
    shards = sorted(path.name for path in (run.folder / "checkpoints").glob("global_step_2/actor/model_*.pt"))
    assert shards == ["model_world_size_2_rank_0.pt", "model_world_size_2_rank_1.pt"]
    assert sum(dumped(run.folder)[1].values()) == 128
    live = json.loads((run.folder / "live.json").read_text())
    assert live["lora"]["dropout"] == 0.05
    assert live["precision"]["compute"] == "torch.float32", "the profile's variables reached the cluster's workers"


def test_several_nodes_without_a_cluster_are_refused(recipe: Recipe, tmp_path: Path) -> None:
    run = recipe("run_permix_grpo.sh", tmp_path / "run", NNODES="2")
    assert run.status == 2
    assert "error: NNODES=2 needs a Ray cluster: start one (ray start, on each node) and set RAY_ADDRESS" in run.output
