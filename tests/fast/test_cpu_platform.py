"""verl's CPU platform: chosen by itself, silent beside an accelerator, loud on another verl."""

import importlib.metadata
import os
import subprocess
import sys
import types
from typing import Any

import pytest
import torch

from permix_verl.cpu import detect, patches


def in_verl(code: str, **environment: str) -> str:
    """Output of code run after ``import verl`` in a fresh process."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("VERL_")}
    done = subprocess.run(
        [sys.executable, "-c", f"import verl\n{code}"], capture_output=True, text=True, env=clean | environment
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_verl_finds_the_platform_by_itself_and_its_engine_and_vllm() -> None:
    code = (
        "import importlib.metadata, permix_verl.plugin as plugin\n"
        "from verl.plugin.platform import get_platform\n"
        "from verl.workers.engine import EngineRegistry\n"
        "print(plugin.active, type(get_platform()).__name__, importlib.metadata.version('vllm'),\n"
        "      EngineRegistry.get_engine_cls('language_model', 'fsdp2').__name__)"
    )
    assert in_verl(code).splitlines()[-1] == "True PlatformCPU 0.28.0+cpu FSDPEngineWithLMHead"


def test_the_plugin_is_silent_where_another_platform_is_asked_for() -> None:
    code = (
        "import permix_verl.plugin as plugin, sys\n"
        "from verl.plugin.platform import PlatformRegistry\n"
        "print(plugin.active, 'cpu' in PlatformRegistry.registered_names(), 'permix_verl.cpu.patches' in sys.modules)"
    )
    assert in_verl(code, VERL_PLATFORM="nvidia").splitlines()[-1] == "False False False"


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


def test_a_failing_plugin_is_seen_and_not_only_logged() -> None:
    code = (
        "import permix_verl.cpu.patches as p; p.VERL_VERSION = '0.0'\n"
        "try:\n    import permix_verl.plugin\nexcept p.PatchError:\n    print('raised')"
    )
    clean = {name: value for name, value in os.environ.items() if not name.startswith("VERL_")}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=clean)
    assert done.stdout.strip() == "raised"
    assert "permix_verl: the CPU platform for verl could not be set up" in done.stderr


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


def test_the_device_module_answers_what_verl_asks() -> None:
    from permix_verl.cpu.platform import PlatformCPU

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

    from permix_verl.cpu.patches import _for_one_adapter

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
