"""The RLVR baseline with the paper's own numbers: Table 7, read back from every live component of the run."""

import json
import math
from typing import Any

import pyarrow.parquet as pq
import pytest

from permix_verl.lab.base_model import MODEL
from permix_verl.lab.problems import generate
from permix_verl.personas.pool import NO_PERSONA

from .conftest import Recipe, Run

STEPS = 21
"""1,368 rows in batches of 64: enough for a warm-up of one step."""


@pytest.fixture(scope="module")
def run(recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("rlvr")
    data = folder / "problems.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in generate(1400, "easy", "train", seed=3)))
    # With MODEL set, only machine settings have the lab's values.
    overrides = ["trainer.val_before_train=False", "trainer.test_freq=-1"]
    knobs = {"MODEL": str(MODEL), "DATA": str(data), "PROFILE": "cpu", "SEED": "3"}
    # All files of interest exist after the first step's rollouts; the update would take as long again.
    record = folder / "run" / "records" / "1.jsonl"
    return recipe("run_rlvr_grpo.sh", folder / "run", *overrides, stop_when=record.is_file, **knobs)


@pytest.fixture(scope="module")
def live(run: Run) -> dict[str, dict[str, Any]]:
    record: dict[str, dict[str, Any]] = json.loads((run.folder / "live.json").read_text())
    return record


TABLE_7 = {
    "data.problems_per_step": 64,
    "data.epochs": 1,
    "data.steps": STEPS,
    "data.max_prompt_tokens": 256,
    "data.persona_seed": 3,
    "sampling.samples_per_problem": 8,
    "sampling.max_tokens": 512,
    "sampling.temperature": 1.0,
    "optimizer.class": "AdamW",
    "optimizer.fused": True,
    "optimizer.lr": 1e-5,
    "optimizer.weight_decay": 0.1,
    "optimizer.clip_grad": 0.1,
    "schedule.total_steps": STEPS,
    "schedule.warmup_steps": 1,
    "lora.dropout": 0.05,
    "lora.rank": 32,
    "lora.alpha": 64,
    "lora.target_modules": ["down_proj", "gate_proj", "k_proj", "o_proj", "q_proj", "up_proj", "v_proj"],
    "lora.only_lora_is_trained": True,
    "loss.use_kl_loss": True,
    "loss.kl_loss_coef": 0.001,
    "loss.mini_batch": 64,
    "loss.update_epochs": 1,
    "rollout.load_format": "safetensors",
}
"""Table 7, and our defaults for the values that our copy of it lacks; float32, since bf16 is a GPU profile's."""


def wrong(live: dict[str, dict[str, Any]]) -> list[str]:
    live_values = {key: live[key.split(".")[0]].get(key.split(".")[1]) for key in TABLE_7}
    return [f"{key}={live_values[key]}" for key, value in TABLE_7.items() if live_values[key] != value]


def test_the_run_has_the_values_of_table_7(live: dict[str, dict[str, Any]]) -> None:
    assert wrong(live) == []
    cosine = [0.5 * (1 + math.cos(math.pi * step / (STEPS - 1))) for step in range(STEPS)]
    assert live["schedule"]["factors"] == pytest.approx([0.0, *cosine])


def test_a_dead_key_is_detected(live: dict[str, dict[str, Any]]) -> None:
    """Negative control; tests/e2e/test_live_engine.py builds verl's engine from wrong keys."""
    assert wrong(live | {"optimizer": live["optimizer"] | {"clip_grad": 1.0}}) == ["optimizer.clip_grad=1.0"]
    assert wrong(live | {"lora": live["lora"] | {"dropout": 0.0}}) == ["lora.dropout=0.0"]


def test_rlvr_trains_on_prompts_without_personas(run: Run) -> None:
    assert run.status == 130, "stopped by Ctrl-C in its first step"
    assert "the same command goes on from the last checkpoint" in run.output
    rollouts = [json.loads(line) for line in (run.folder / "records" / "1.jsonl").open()]
    assert len(rollouts) == 64 * 8
    assert {rollout["persona"] for rollout in rollouts} == {NO_PERSONA}
    prompts = pq.read_table(run.folder / "data" / "train.parquet")["prompt"].to_pylist()
    assert {message["role"] for prompt in prompts for message in prompt} == {"user"}


def test_unseeded_rollouts_are_reported(live: dict[str, dict[str, Any]]) -> None:
    assert live["seeds"]["rollouts"] == "not seeded"
    assert live["seeds"]["run"] == 3
