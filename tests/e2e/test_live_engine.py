"""Table 7, read back from verl's live engine; a key without effect is detected."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from permix_verl.training.hooks.initial_adapter import make_initial_adapter

from ..support.configs import overrides_of

TARGETS = ["down_proj", "gate_proj", "k_proj", "o_proj", "q_proj", "up_proj", "v_proj"]

BUILD = """
import json, os, sys
os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0", "RANK": "0", "WORLD_SIZE": "1", "VERL_PLATFORM": "cpu"}
import torch, verl
from omegaconf import OmegaConf, open_dict
from permix_verl.config.compose import compose_verl
from permix_verl.training.guards.effective_config import read_engine
from verl.utils.config import omega_conf_to_dataclass
from verl.workers.engine import EngineRegistry
store = torch.distributed.HashStore()
torch.distributed.init_process_group("cpu:gloo", store=store, rank=0, world_size=1)
config = compose_verl("grpo", json.loads(sys.argv[1])).node
with open_dict(config):
    config.actor_rollout_ref.actor.optim.total_training_steps = 40
model = omega_conf_to_dataclass(config.actor_rollout_ref.model)
actor = omega_conf_to_dataclass(config.actor_rollout_ref.actor)
engine = EngineRegistry.new(
    model_type="language_model", backend="fsdp2", model_config=model, engine_config=actor.engine,
    optimizer_config=actor.optim, checkpoint_config=actor.checkpoint,
)
engine.initialize()
print("RECORD " + json.dumps(read_engine(engine)))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model and its initial adapter."""
    from permix_verl.lab.base_model import build_model, build_tokenizer

    path = tmp_path_factory.mktemp("live")
    tokenizer = build_tokenizer()
    tokenizer.save_pretrained(path / "model")
    build_model(tokenizer).save_pretrained(path / "model")
    make_initial_adapter(
        str(path / "model"), path / "initial_adapter", rank=32, alpha=64, dropout=0.05, target_modules=TARGETS, seed=0
    )
    return path


def engine_record(folder: Path, *changes: str) -> dict[str, dict[str, Any]]:
    """Build verl's engine from the changed configuration of the recipe, and read its settings back."""
    knobs = {"PROFILE": "cpu", "MODEL": str(folder / "model"), "RUN_DIR": str(folder)}
    overrides = overrides_of("permix_grpo", **knobs)
    for change in changes:
        removed, _, added = change.partition(" -> ")
        overrides = [line for line in overrides if not line.startswith(removed)] + ([added] if added else [])
    done = subprocess.run([sys.executable, "-c", BUILD, json.dumps(overrides)], capture_output=True, text=True)
    lines = [line for line in done.stdout.splitlines() if line.startswith("RECORD ")]
    assert lines, done.stderr[-3000:]
    record: dict[str, dict[str, Any]] = json.loads(lines[0].removeprefix("RECORD "))
    return record


def against_table_7(live: dict[str, dict[str, Any]], total: int) -> list[str]:
    """Return the settings of the live engine that differ from Table 7 and appendix B.1."""
    expected = {
        "optimizer.class": "AdamW",
        "optimizer.fused": True,
        "optimizer.weight_decay": 0.1,
        "optimizer.clip_grad": 0.1,
        "schedule.total_steps": total,
        "schedule.warmup_steps": int(0.05 * total),
        "lora.dropout": 0.05,
        "lora.target_modules": TARGETS,
        "lora.only_lora_is_trained": True,
        "precision.adapter": "torch.float32",
        "precision.base": "torch.float32",
    }
    live_values = {key: live[key.split(".")[0]].get(key.split(".")[1]) for key in expected}
    wrong = [f"{key}: {live_values[key]}" for key, value in expected.items() if live_values[key] != value]
    factors = live["schedule"]["factors"]
    if any(abs(a - b) > 1e-6 for a, b in zip(factors, cosine(total, int(0.05 * total)), strict=True)):
        wrong.append(f"schedule: {factors}")
    return wrong


def cosine(total: int, warmup: int) -> list[float]:
    """Return the learning-rate factor at each step: linear warm-up, then half a cosine to zero."""
    import math

    rising = [step / warmup for step in range(warmup)]
    return rising + [0.5 * (1 + math.cos(math.pi * step / (total - warmup))) for step in range(total - warmup + 1)]


def test_the_live_engine_has_the_values_of_table_7(folder: Path) -> None:
    live = engine_record(folder)
    assert against_table_7(live, total=40) == []
    assert live["lora"]["rank"] == 32
    assert live["lora"]["scaling"] == 2.0
    assert live["optimizer"]["lr"] == 1e-5


def test_keys_without_effect_are_detected(folder: Path) -> None:
    """Negative control: configuration mistakes that compose without an error."""
    actor, model = "actor_rollout_ref.actor", "actor_rollout_ref.model"
    live = engine_record(
        folder,
        f"{actor}.optim.clip_grad -> {actor}.grad_clip=0.1",
        f"{model}.lora_adapter_path -> {model}.lora.dropout=0.05",
        f"+{actor}.optim.override_optimizer_config -> +{actor}.optim.fused_adamw=null",
        f"{actor}.optim.lr_scheduler_type -> {actor}.optim.lr_scheduler_type=constant",
        f"{actor}.fsdp_config.model_dtype -> {actor}.fsdp_config.model_dtype=bfloat16",
        "+actor_rollout_ref.actor.optim.fused_adamw",
    )
    wrong = " | ".join(against_table_7(live, total=40))
    for what in (
        "optimizer.clip_grad: 1.0",
        "lora.dropout: 0.0",
        "optimizer.fused: False",
        "schedule: [",
        "precision.adapter: torch.bfloat16",
    ):
        assert what in wrong, what
