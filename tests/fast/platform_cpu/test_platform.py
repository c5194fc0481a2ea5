"""verl's CPU platform: chosen by itself, silent beside an accelerator, loud on another verl."""

import importlib
import importlib.metadata
import os
import sys
import types
from typing import Any

import pytest
import torch

from permix_verl.platform_cpu import detect, patches


@pytest.mark.parametrize(
    ("platform", "cuda", "hip", "wanted"),
    [
        ("", None, None, True),
        ("cpu", "13.0", None, True),
        ("nvidia", None, None, False),
        ("", "13.0", None, False),
        ("", None, "6.2", False),
    ],
)
def test_the_cpu_platform_is_wanted_only_without_an_accelerator_build(
    monkeypatch: pytest.MonkeyPatch, platform: str, cuda: str | None, hip: str | None, wanted: bool
) -> None:
    monkeypatch.setenv("VERL_PLATFORM", platform)
    monkeypatch.setattr(torch.version, "cuda", cuda)
    monkeypatch.setattr(torch.version, "hip", hip)
    assert detect.cpu_platform_wanted() is wanted


def test_another_verl_version_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "0.10.0")
    with pytest.raises(patches.PatchError, match=r"patches verl 0.9.1, and verl 0.10.0 is installed"):
        patches.apply_all()


@pytest.mark.parametrize(
    "patch", [patches.single_gloo_backend, patches.register_fsdp_engines, patches.own_received_weights]
)
def test_every_patch_refuses_a_module_without_what_it_replaces(patch: Any) -> None:
    with pytest.raises(patches.PatchError, match="has no"):
        patch(types.ModuleType("verl.changed"))


def test_received_weights_outlive_the_block_they_came_in() -> None:
    received: list[Any] = []

    class BucketedWeightReceiver:
        def receive_weights(self, on_bucket_received: Any) -> None:
            block = torch.ones(4)
            weights = [("w", block[:2])]
            on_bucket_received(weights, True)
            block.zero_()
            assert not weights, "a view left in the list keeps the block open"

    transfer: Any = types.ModuleType("transfer")
    transfer.BucketedWeightReceiver = BucketedWeightReceiver
    patches.own_received_weights(transfer)
    transfer.BucketedWeightReceiver().receive_weights(on_bucket_received=lambda weights, last: received.extend(weights))
    assert received[0][1].tolist() == [1, 1]


def test_threads_of_the_rollout_engine_sleep_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_WAIT_POLICY", "")  # so that it is put back
    monkeypatch.delenv("OMP_WAIT_POLICY")
    patches.set_passive_wait(None)
    assert os.environ["OMP_WAIT_POLICY"] == "passive"
    monkeypatch.setenv("OMP_WAIT_POLICY", "active")
    patches.set_passive_wait(None)
    assert os.environ["OMP_WAIT_POLICY"] == "active"


def test_every_patch_waits_for_its_module(monkeypatch: pytest.MonkeyPatch) -> None:
    hooked: dict[str, str] = {}
    monkeypatch.setattr(patches, "on_import", lambda module, patch: hooked.__setitem__(patch.__name__, module))
    patches.apply_all()
    assert hooked["set_passive_wait"] == "verl.workers.rollout.vllm_rollout.vllm_async_server"
    assert len(hooked) == 5


def test_the_device_module_answers_what_verl_asks() -> None:
    import verl  # noqa: F401, loads the plugin, which imports the platform; the reverse leaves verl without it

    from permix_verl.platform_cpu.platform import PlatformCPU

    device: Any = PlatformCPU().device_module
    assert not device.is_available()
    assert 0 < device.memory_allocated() <= device.max_memory_allocated()
    free, total = device.mem_get_info()
    assert 0 < free <= total
    state = device.get_rng_state()
    first = torch.rand(3)
    device.set_rng_state(state)
    assert torch.equal(torch.rand(3), first)
    device.synchronize()
    assert str(PlatformCPU().current_device()) == "cpu"


def test_one_adapters_product_is_vllms_own_and_a_mixture_goes_vllms_way() -> None:
    import torch
    from vllm.lora.ops.torch_ops import lora_ops

    from permix_verl.platform_cpu.patches import _for_one_adapter

    torch.manual_seed(0)
    rank, wide, tokens = 4, 10, 7
    x, low = torch.randn(tokens, wide), torch.randn(tokens, rank)
    a, b = torch.randn(3, 1, rank, wide), torch.randn(3, 1, wide, rank)
    cases: list[tuple[str, bool | None, tuple[Any, ...], tuple[Any, ...]]] = [
        ("bgmv_shrink", None, (x, a), ()),
        ("bgmv_shrink", None, (x, a), (0.5,)),
        ("bgmv_expand", True, (low, b), ()),
        ("bgmv_expand", True, (low, b), (False,)),
        ("bgmv_expand_slice", True, (low, b), (2, wide, True)),
        ("bgmv_expand_slice", True, (low, b), (2, wide)),
        ("bgmv_expand_slice", True, (low, b), (2, wide, False)),
    ]
    for name, add_by_default, given, rest in cases:
        original = getattr(lora_ops, name)
        for indices in (torch.full((tokens,), 1), torch.full((tokens,), -1), torch.tensor([0, 1, 2, 0, 1, 2, 0])):
            start = torch.randn(tokens, rank if name == "bgmv_shrink" else 15 if "slice" in name else wide)
            expected, found = start.clone(), start.clone()
            original(*given, expected, indices, *rest)
            _for_one_adapter(original, add_by_default)(*given, found, indices, *rest)
            torch.testing.assert_close(found, expected, msg=f"{name} {rest} {indices}")
            assert not torch.equal(found, start)


def test_the_finder_of_vllms_version_survives_a_reset_of_the_import_caches() -> None:
    """Python calls this on whatever stands in ``sys.meta_path``, after a package was installed for example."""
    patches.provide_vllm_version()
    assert patches.VllmFromVllmCpu in sys.meta_path
    importlib.invalidate_caches()
