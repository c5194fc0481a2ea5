"""Traces of the memory plan: a step of verl's engine on fake tensors, and the complete command."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoModelForCausalLM

from permix_verl.cli.main import run
from permix_verl.preflight.memory_plan.job import Job
from permix_verl.preflight.memory_plan.model_size import measure, read_config
from permix_verl.preflight.memory_plan.peaks import ACTIVATIONS, ADAPTER, LOGITS, OPTIMIZER, WEIGHTS, PeakMemory
from permix_verl.preflight.memory_plan.trace import actor_peaks

from ..fast.preflight.test_live_storages import small
from ..integration.preflight.test_plan import one_layer
from ..integration.recipes.test_recipes import recipe

SMALL_JOB = Job(ranks=4, batch=16, samples=1, micro_batch=2, log_prob_micro_batch=4, prompt_tokens=0, answer_tokens=32)


@pytest.fixture(scope="module")
def peaks() -> PeakMemory:
    return actor_peaks(SMALL_JOB, small(5))


def test_weights_adapter_and_optimizer_are_a_ranks_share(peaks: PeakMemory) -> None:
    model = measure(small(5), SMALL_JOB)
    assert peaks.idle[WEIGHTS] == pytest.approx(4 * model.weights / SMALL_JOB.ranks, rel=0.01)
    assert peaks.idle[ADAPTER] == pytest.approx(4 * model.adapter_weights / SMALL_JOB.ranks, rel=0.01)
    assert peaks.idle[OPTIMIZER] == pytest.approx(2 * peaks.idle[ADAPTER], rel=0.01)


def test_a_deep_model_is_extrapolated_from_shallow_ones(peaks: PeakMemory, monkeypatch: pytest.MonkeyPatch) -> None:
    """A trace of all five layers equals the extrapolation from three and four layers."""
    monkeypatch.setattr("permix_verl.preflight.memory_plan.trace.LAYERS", (4, 5))
    traced = actor_peaks(SMALL_JOB, small(5))
    for phase in ("update", "log_probs", "idle"):
        assert getattr(peaks, phase).total() == pytest.approx(getattr(traced, phase).total(), rel=0.02)


def test_entropy_takes_three_float32_copies_of_the_logits(peaks: PeakMemory) -> None:
    logits = 4 * 32 * 512  # rows, tokens, vocabulary
    assert peaks.log_probs[LOGITS] == pytest.approx(logits * (2 + 3 * 4), rel=0.05)


def test_larger_settings_take_more_memory(peaks: PeakMemory) -> None:
    def update(**changed: Any) -> Counter[str]:
        return actor_peaks(replace(SMALL_JOB, **changed), small(3)).update

    usual = update()
    assert update(checkpointing=False)[ACTIVATIONS] > 1.5 * usual[ACTIVATIONS]
    assert update(micro_batch=4)[LOGITS] == pytest.approx(2 * usual[LOGITS], rel=0.1)
    assert update(ranks=1, batch=4)[WEIGHTS] == pytest.approx(4 * usual[WEIGHTS], rel=0.01)


def test_an_nf4_base_is_replicated_at_half_a_byte_per_weight() -> None:
    its = replace(SMALL_JOB, nf4=True)
    result = actor_peaks(its, small(1))
    model = AutoModelForCausalLM.from_config(small(1))
    ends = 2 * 512 * 64 + 3 * 64  # embeddings, output layer, norms
    linear = sum(parameter.numel() for parameter in model.parameters()) - ends
    assert result.idle[WEIGHTS] == pytest.approx(2 * ends + linear * 0.516, rel=0.01)
    assert actor_peaks(replace(its, ranks=2, batch=8), small(1)).idle[WEIGHTS] == result.idle[WEIGHTS]
    assert result.update["weights, unpacked"] == 2 * 64 * 192


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return one_layer(tmp_path_factory.mktemp("llama"))


def test_a_plan_needs_no_weights_and_reports_whether_it_fits(llama: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paper = ["permix_grpo", "profile=8xa5000"]
    assert run(["plan", "--model", str(llama), "--json", *paper]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["fits"]
    assert result["model"]["weights"] == measure(read_config(str(llama)), Job()).weights
    assert set(result["turns"]) == {"update", "log-probs", "generation", "weight sync"}
    assert run(["plan", "--model", str(llama), "--gpu-memory", "2", *paper]) == 1
    text = capsys.readouterr().out
    assert "OVER" in text
    assert "it does NOT fit" in text


def test_the_recipe_plans_itself(llama: Path) -> None:
    done = recipe("run_permix_grpo.sh", DRY_RUN="plan", PROFILE="8xa5000", MODEL=str(llama))
    assert done.returncode == 0, done.stderr
    assert "8 x RTX A5000, 24.0 GiB each" in done.stdout
    assert "116 steps" in done.stdout
