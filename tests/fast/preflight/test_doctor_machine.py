"""Doctor checks of GPUs, disk, shared memory and open files."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from permix_verl.preflight.doctor import gpus, machine
from permix_verl.preflight.doctor.types import Setup

from ...support.doctor import only, problems, setup_with


@pytest.fixture
def smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Put an nvidia-smi on PATH that prints the given rows, or CUDA version 12.8 if called without arguments."""

    def write(rows: str) -> None:
        script = tmp_path / "bin" / "nvidia-smi"
        script.parent.mkdir(exist_ok=True)
        script.write_text(f'#!/bin/sh\n[ $# = 0 ] && echo "| CUDA Version: 12.8 |" && exit\nprintf "{rows}"\n')
        script.chmod(0o755)
        monkeypatch.setenv("PATH", f"{script.parent}:{os.environ['PATH']}")
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        gpus.visible_gpus.cache_clear()
        gpus.driver_cuda.cache_clear()

    return write


@pytest.fixture(autouse=True)
def forget_gpus() -> Any:
    yield
    gpus.visible_gpus.cache_clear()
    gpus.driver_cuda.cache_clear()


CUDA = ("trainer.device=cuda", "trainer.n_gpus_per_node=2", "actor_rollout_ref.model.lora_rank=32")


def test_too_few_gpus_busy_ones_and_small_ones(smi: Callable[[str], None], monkeypatch: pytest.MonkeyPatch) -> None:
    smi("NVIDIA RTX A5000, 24564, 3\\n")
    assert gpus.driver_cuda() == "12.8"
    assert "1 GPUs, but the run needs 2; set GPUS=1" in only(gpus.gpu_count, setup_with(*CUDA))
    parallel = "actor_rollout_ref.rollout.tensor_model_parallel_size=4"
    smi("NVIDIA RTX A5000, 24564, 3\\n" * 2)
    assert "does not divide 2 GPUs; set TENSOR_PARALLEL" in only(gpus.gpu_count, setup_with(*CUDA, parallel))
    layered = "actor_rollout_ref.rollout.layered_summon=True"
    assert "layered_summon=True" in only(gpus.gpu_memory, setup_with(*CUDA), "warning")
    assert problems(gpus.gpu_memory, setup_with(*CUDA, layered)) == []
    assert problems(gpus.gpu_memory, setup_with(*CUDA, "actor_rollout_ref.actor.strategy=fsdp2")) == []
    smi("NVIDIA RTX A5000, 24564, 3\\nNVIDIA RTX A5000, 24564, 9000\\n")
    assert "GPU 1 9000 MiB; end the processes that use it" in only(gpus.gpu_memory, setup_with(*CUDA, layered))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    gpus.visible_gpus.cache_clear()
    assert "0 GPUs" in only(gpus.gpu_count, setup_with(*CUDA))


def test_a_disk_without_room_and_a_folder_that_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_dir = Setup(run_dir=tmp_path / "not" / "there")
    assert problems(machine.disk, run_dir) == []
    usage = shutil.disk_usage(tmp_path)._replace(free=10**9)
    monkeypatch.setattr("shutil.disk_usage", lambda place: usage)
    assert "1.0 GB free" in only(machine.disk, run_dir)
    monkeypatch.setattr("os.access", lambda place, mode: False)
    assert "is not writable; set RUN_DIR" in only(machine.disk, run_dir)


def test_dockers_64_megabytes_of_shared_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage("/")._replace(free=64 << 20)
    monkeypatch.setattr("shutil.disk_usage", lambda place: usage)
    bucket = "actor_rollout_ref.rollout.checkpoint_engine.update_weights_bucket_megabytes=512"
    assert "64 MiB of shared memory (/dev/shm), but 2048 are needed" in only(machine.shared_memory, setup_with(bucket))
    assert problems(machine.shared_memory, setup_with(bucket, trainer="sft")) == []


def test_too_few_open_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resource.getrlimit", lambda which: (1024, 1024))
    assert "at most 1024 open files" in only(machine.open_files, Setup(), "warning")
