"""The plan counts what is live, as the allocator does."""

import pytest
import torch
from torch.profiler import ProfilerActivity, profile
from transformers import AutoModelForCausalLM, LlamaConfig

from permix_verl.preflight.memory_plan.live_storages import LiveStorages


def small(layers: int) -> LlamaConfig:
    return LlamaConfig(
        hidden_size=64,
        intermediate_size=192,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        vocab_size=512,
    )


def test_live_bytes_are_those_that_the_allocator_reports() -> None:
    """PyTorch's own profiler is the peer; the model is real, and so are its tensors."""
    model = AutoModelForCausalLM.from_config(small(3))
    tokens = torch.zeros((4, 48), dtype=torch.long)

    def step() -> None:
        model(input_ids=tokens, labels=tokens, use_cache=False).loss.backward()
        model.zero_grad()

    step()
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        step()
    events = [event for event in profiler.profiler.kineto_results.events() if event.name() == "[memory]"]  # type: ignore[union-attr]
    now = allocated = 0
    for _, size in sorted((event.start_ns(), event.nbytes()) for event in events):
        now += size
        allocated = max(allocated, now)

    live = LiveStorages(lambda _: "new")
    with live:
        live.mark([*model.parameters(), *model.buffers(), tokens], "there before")
        with live.phase("step"):
            step()
    assert live.peaks["step"]["new"] == pytest.approx(allocated, rel=0.03)
    assert live.peaks["step"]["new"] > 200_000


def test_a_storage_that_is_resized_to_nothing_is_no_longer_live() -> None:
    with LiveStorages(lambda _: "new") as live:
        kept = torch.zeros(1000)
        assert live.now["new"] == 4000
        kept.untyped_storage().resize_(0)
        assert live.now["new"] == 0
        kept.untyped_storage().resize_(8000)
        assert live.now["new"] == 8000
        del kept
    assert live.now["new"] == 0


def test_views_count_once_and_what_is_marked_keeps_its_kind() -> None:
    with LiveStorages(lambda _: "new") as live:
        weight = torch.ones(10, 10)
        live.mark([weight], "weights")
        view = weight.t()[2:]
        total = view.sum()
        assert dict(live.now) == {"weights": 400, "new": total.nbytes}


def test_each_phase_has_its_own_peak() -> None:
    with LiveStorages(lambda _: "new") as live:
        with live.phase("large"):
            torch.zeros(1000).sum()
        with live.phase("small"):
            torch.zeros(10).sum()
    assert live.peaks["large"]["new"] > 4000 > 100 > live.peaks["small"]["new"] > 40
