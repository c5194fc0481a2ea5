"""The KL reference of a run with INIT_ADAPTER is that adapter, throughout training."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from permix_verl.lab.base_model import MODEL
from permix_verl.training.guards import reference_check
from permix_verl.training.guards.reference_check import DISTANCE, check_reference_before_update

from ..checkpoints.test_merge import trained_adapter

IDS = torch.arange(5, 30)[None]


@pytest.fixture
def policy(tmp_path: Any) -> Any:
    """A trainable model with an adapter."""
    from peft import PeftModel

    base = AutoModelForCausalLM.from_pretrained(MODEL, dtype=torch.float32)
    return PeftModel.from_pretrained(base, trained_adapter(tmp_path), is_trainable=True).eval()


@pytest.fixture
def starting_weights(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("VERL_PLATFORM", "cpu")
    from permix_verl.training.hooks.frozen_reference import StartingWeights

    return StartingWeights


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        result: torch.Tensor = model(IDS).logits
    return result


def train(model: Any) -> None:
    optimizer = torch.optim.SGD([weight for weight in model.parameters() if weight.requires_grad], lr=1.0)
    model(IDS, labels=IDS).loss.backward()
    optimizer.step()


def test_the_reference_is_the_initial_adapter_bit_for_bit(policy: Any, starting_weights: Any) -> None:
    start, first = starting_weights(policy), logits(policy)
    names = set(policy.state_dict())
    with start.swapped_in():
        assert torch.equal(logits(policy), first)
    with policy.disable_adapter():
        assert (logits(policy) - first).abs().max() > 0.1, "verl's own reference is another policy"
    train(policy)
    trained = logits(policy)
    assert (trained - first).abs().max() > 1e-3
    with start.swapped_in():
        assert torch.equal(logits(policy), first)
    assert torch.equal(logits(policy), trained)
    assert set(policy.state_dict()) == names, "nothing more to save, to sync or to train"


def test_the_trained_weights_are_restored_if_the_reference_fails(policy: Any, starting_weights: Any) -> None:
    start = starting_weights(policy)
    train(policy)
    trained = logits(policy)
    with pytest.raises(RuntimeError, match="no memory"), start.swapped_in():
        raise RuntimeError("no memory")
    assert torch.equal(logits(policy), trained)


def test_verls_engine_swaps_in_the_reference_where_it_disables_the_adapter(policy: Any, starting_weights: Any) -> None:
    """Subclasses, such as QLORA=1's engine, inherit it."""
    from permix_verl.training.hooks.frozen_reference import install

    class Engine:
        def _build_model_optimizer(self) -> None:
            self.module = policy

        def disable_adapter(self) -> Any:
            return self.module.disable_adapter()

    class SubEngine(Engine):
        pass

    install(Engine)
    engine = SubEngine()
    engine._build_model_optimizer()
    first = logits(policy)
    train(policy)
    with engine.disable_adapter():
        assert torch.equal(logits(policy), first)


def run_with(reference: float, step: int, monkeypatch: pytest.MonkeyPatch) -> tuple[dict[str, Any], list[str]]:
    """Return metrics and causes of a step whose reference has this distance."""
    monkeypatch.setattr(reference_check, "measure_reference", lambda batch: reference)
    trainer = SimpleNamespace(global_steps=step, _compute_ref_log_prob=lambda batch, metrics: batch)
    causes: list[str] = []
    check_reference_before_update(trainer, causes.append)
    metrics: dict[str, Any] = {}
    assert trainer._compute_ref_log_prob("batch", metrics=metrics) == "batch"
    return metrics, causes


def test_a_reference_that_is_another_policy_ends_the_run_at_its_first_step(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run_with(0.0, 1, monkeypatch) == ({DISTANCE: 0.0}, [])
    for distance in (0.05, float("nan")):
        _, causes = run_with(distance, 1, monkeypatch)
        assert "the KL reference is not INIT_ADAPTER: its log-probs differ by" in causes[0]
    assert run_with(0.05, 2, monkeypatch) == ({}, []), "later it is another policy"
