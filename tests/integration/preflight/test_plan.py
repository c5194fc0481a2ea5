"""The plan: settings are read, lines add up, and its advice holds. Traces: tests/e2e/test_plan_traces.py."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from permix_verl import UserError
from permix_verl.cli.main import run
from permix_verl.preflight.memory_plan.advice import advice
from permix_verl.preflight.memory_plan.budget import ALLOCATOR_SLACK, CUDA_CONTEXT, GIB, MIB, VLLM_ASLEEP, budget, fits
from permix_verl.preflight.memory_plan.gpus import KNOWN, find_gpu
from permix_verl.preflight.memory_plan.job import Job, RolloutSettings, read_job
from permix_verl.preflight.memory_plan.model_size import ModelSize
from permix_verl.preflight.memory_plan.peaks import ACTIVATIONS, GATHERED, LOGITS, OPTIMIZER, WEIGHTS, PeakMemory
from permix_verl.preflight.memory_plan.step_time import estimate_step_time

from ...support.configs import config_of

LLAMA_8B: dict[str, Any] = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "vocab_size": 128256,
    "tie_word_embeddings": False,
}


# --- settings -------------------------------------------------------------------------------------------------------


def test_the_recipes_settings_are_read() -> None:
    job = read_job(config_of("permix_grpo", PROFILE="8xa5000"), "grpo", 7441)
    assert (job.ranks, job.batch, job.samples, job.length, job.rows_per_rank) == (8, 64, 8, 768, 64)
    assert (job.micro_batch, job.log_prob_micro_batch, job.lora_rank, job.lora_dropout) == (2, 4, 32, 0.05)
    assert (job.weight_bytes, job.compute_bytes, job.checkpointing, job.param_offload) == (4, 2, True, True)
    assert job.reference
    assert job.rollout == RolloutSettings(4, 0.55, 2, True, 4096, 512)
    supervised = read_job(config_of("sft", PROFILE="8xa5000"), "sft", 7441)
    assert (supervised.rollout, supervised.length, supervised.rows_per_rank) == (None, 1024, 16)
    without_gpu = read_job(config_of("permix_grpo", PROFILE="cpu"), "grpo", 576)
    assert (without_gpu.device, without_gpu.compute_bytes) == ("cpu", 4)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("data.train_batch_size", "many", "is not an integer of 1 or more"),
        ("data.train_batch_size", "0", "is not an integer of 1 or more"),
        ("trainer.n_gpus_per_node", "0", "is not an integer of 1 or more"),
        ("data.max_response_length", "null", "is not an integer of 1 or more"),
        ("actor_rollout_ref.rollout.dtype", "fp8", "unknown data type 'fp8'; known: fp32"),
        ("actor_rollout_ref.rollout.tensor_model_parallel_size", "3", "does not divide 8 GPUs; set TENSOR_PARALLEL"),
        ("data.train_batch_size", "3", "3 x 8 rows of a step are not divisible by 8 GPUs"),
        ("actor_rollout_ref.model.lora_rank", "0", "the plan supports LoRA only"),
        ("actor_rollout_ref.model.use_remove_padding", "True", "only the recipes' False"),
    ],
)
def test_what_cannot_be_planned_is_one_clear_error(key: str, value: str, message: str) -> None:
    more = []
    if (key, value) == ("data.train_batch_size", "3"):
        more = ["actor_rollout_ref.rollout.n=7"]
        message = "3 x 7 rows of a step are not divisible by 8 GPUs"
    with pytest.raises(UserError, match=message):
        read_job(config_of("permix_grpo", f"{key}={value}", *more, PROFILE="8xa5000", BATCH="8"), "grpo", 10)


def test_hydras_ways_to_write_a_value_are_read() -> None:
    engine, model = "actor_rollout_ref.actor.fsdp_config", "actor_rollout_ref.model"
    more = [f"{engine}.mixed_precision.param_dtype=fp32", f"{model}.target_modules=['q_proj', 'v_proj']"]
    config = config_of("permix_grpo", *more, "trainer.total_training_steps=5", PROFILE="8xa5000")
    job = read_job(config, "grpo", 7441)
    assert (job.compute_bytes, job.lora_targets, job.steps) == (4, ("q_proj", "v_proj"), 5)
    assert estimate_step_time(job, MODEL, find_gpu("A5000"), 300).steps == 5
    whole = config_of("permix_grpo", f"{model}.target_modules=all-linear", PROFILE="8xa5000")
    assert read_job(whole, "grpo", 1).lora_targets == "all-linear"


def test_gpus_are_found_by_parts_of_their_names() -> None:
    assert find_gpu("a5000").name == "RTX A5000"
    assert find_gpu("NVIDIA H100 80GB HBM3").name == "H100"
    assert find_gpu("NVIDIA L40S").name == "L40S"
    assert all(find_gpu(gpu.name) is gpu for gpu in KNOWN)
    assert find_gpu("NVIDIA A100-SXM4-80GB").name == "A100-80GB"
    assert find_gpu("A100-PCIE-40GB").name == "A100-40GB"
    assert find_gpu("A100", 80 * GIB).name == "A100-80GB"
    assert find_gpu("NVIDIA A10").name == "A10"
    with pytest.raises(UserError, match=r"GPU 'A100' is ambiguous: A100-40GB, A100-80GB; choose one"):
        find_gpu("A100")
    for unknown in ("TPU v5", "NVIDIA L40", "RTX A1000", "H20", ""):
        with pytest.raises(UserError, match=rf"unknown GPU '{unknown}'; known: RTX A5000, .*--gpu-memory GIB"):
            find_gpu(unknown)


# --- budget ---------------------------------------------------------------------------------------------------------

MODEL = ModelSize(8_000_000_000, 84_000_000, 32, 8, 128, 2 * 14336 + 4096)
JOB = Job(ranks=8, ranks_per_node=8, rollout=RolloutSettings(tensor_parallel=4, utilization=0.55), param_offload=True)
PEAKS = PeakMemory(
    update=Counter({WEIGHTS: 4 * GIB, GATHERED: 2 * GIB, ACTIVATIONS: 2 * GIB, LOGITS: 4 * GIB}),
    log_probs=Counter({WEIGHTS: 4 * GIB, LOGITS: 8 * GIB}),
    idle=Counter({WEIGHTS: 4 * GIB, OPTIMIZER: GIB}),
)


def test_lines_add_up_to_their_turn() -> None:
    plan = budget(JOB, MODEL, PEAKS, 24 * GIB)
    phases = {phase.name: phase for phase in plan.phases}
    assert phases["update"].total == pytest.approx(12 * GIB * (1 + ALLOCATOR_SLACK) + CUDA_CONTEXT + VLLM_ASLEEP, abs=2)
    assert list(phases) == ["update", "log-probs", "generation", "weight sync"]
    assert phases["generation"].total == pytest.approx(0.55 * 24 * GIB + GIB + CUDA_CONTEXT, abs=MIB)


def test_vllms_cache_is_its_share_less_its_weights() -> None:
    plan = budget(JOB, MODEL, PEAKS, 24 * GIB)
    assert plan.cache is not None
    a_token = 2 * 32 * 8 * 128 * 2 / 4  # keys and values, layers, heads, width, bytes; over four GPUs
    assert plan.cache.tokens * a_token < 0.55 * 24 * GIB - 4e9
    assert plan.cache.tokens * a_token > 0.55 * 24 * GIB - 4e9 - 2.5 * GIB
    assert (plan.cache.sequences, plan.cache.wanted) == (plan.cache.tokens // 768, 256)


def test_vllm_that_stays_awake_keeps_its_share_while_the_actor_trains() -> None:
    from dataclasses import replace

    awake = replace(JOB, rollout=RolloutSettings(sleeps=False, utilization=0.5))
    update = budget(awake, MODEL, PEAKS, 24 * GIB).phases[0]
    assert {line.name: line.size for line in update.lines}["vLLM, awake"] == 12 * GIB
    assert not fits(budget(awake, MODEL, PEAKS, 24 * GIB), 24 * GIB)


@pytest.mark.parametrize("memory", [10, 12, 14])
def test_the_advised_micro_batch_fits(memory: int) -> None:
    from dataclasses import replace

    job = replace(JOB, ranks_per_node=8, micro_batch=8, log_prob_micro_batch=8, rollout=RolloutSettings(4, 0.3))
    said = {
        line.split(" is ")[0]: line
        for line in advice(job, MODEL, PEAKS, budget(job, MODEL, PEAKS, memory * GIB), memory * GIB)
    }
    for phase, key in (("update", "ppo_micro_batch_size_per_gpu"), ("log-probs", "log_prob_micro_batch_size_per_gpu")):
        kinds = PEAKS.update if phase == "update" else PEAKS.log_probs
        if phase not in said:
            continue
        rows = int(said[phase].split(f"{key}=")[1].split()[0].rstrip(";"))
        shrunk = Counter(
            {kind: size * rows // 8 if kind in (LOGITS, ACTIVATIONS) else size for kind, size in kinds.items()}
        )
        again = replace(PEAKS, update=shrunk) if phase == "update" else replace(PEAKS, log_probs=shrunk)
        total = {one.name: one.total for one in budget(job, MODEL, again, memory * GIB).phases}[phase]
        assert (total <= memory * GIB) != ("not enough" in said[phase])


def test_what_cannot_fit_is_said_with_what_is_left_to_do() -> None:
    said = list(advice(JOB, MODEL, PEAKS, budget(JOB, MODEL, PEAKS, 4 * GIB), 4 * GIB))
    assert any(
        "actor.ppo_micro_batch_size_per_gpu=1 is not enough; a shorter RESPONSE_LENGTH or more" in line for line in said
    )
    assert any("no room for a single sequence" in line for line in said)


def test_advice_names_keys_and_knobs_that_the_run_has() -> None:
    from dataclasses import replace

    supervised = replace(JOB, rollout=None)
    said = list(advice(supervised, MODEL, PEAKS, budget(supervised, MODEL, PEAKS, 9 * GIB), 9 * GIB))
    assert said[0].startswith("update is ")
    assert ": data.micro_batch_size_per_gpu=" in said[0]
    alone = replace(JOB, ranks=1, ranks_per_node=1, rollout=RolloutSettings(1, 0.5))
    text = " ".join(advice(alone, MODEL, PEAKS, budget(alone, MODEL, PEAKS, 6 * GIB), 6 * GIB))
    assert "gpu_memory_utilization=-" not in text
    assert "a higher TENSOR_PARALLEL or" not in text
    assert (
        "more GPUs"
        not in " ".join(
            advice(replace(alone, nf4=True), MODEL, PEAKS, budget(alone, MODEL, PEAKS, 6 * GIB), 6 * GIB)
        ).split("weight sync")[0]
    )


def test_without_a_gpu_the_budget_and_the_advice_are_those_of_all_ranks() -> None:
    from dataclasses import replace

    job = replace(JOB, device="cpu", ranks=4, ranks_per_node=4, micro_batch=4, compute_bytes=4)
    plan = budget(job, replace(MODEL, weights=1000), PEAKS, 48 * GIB)
    assert {line.name: line.size for line in plan.phases[0].lines}[WEIGHTS] == 16 * GIB
    said = next(advice(job, MODEL, PEAKS, plan, 48 * GIB))
    rows = int(said.split("ppo_micro_batch_size_per_gpu=")[1].split()[0])
    # Of 12 GiB a rank 6 are of its four rows.
    assert 4 * (6 + 1.5 * rows) + 12 <= 48 < 4 * (6 + 1.5 * (rows + 1)) + 12.1
    assert "GPUs" not in said


def test_the_host_holds_what_is_offloaded() -> None:
    held = {line.name: line.size for line in budget(JOB, MODEL, PEAKS, 24 * GIB).host}
    assert held["actor's weights while others have their turn"] == 8 * 4 * GIB
    assert held["vLLM's weights while it sleeps"] == 8 * 8_000_000_000 * 2 // 4


# --- time -----------------------------------------------------------------------------------------------------------


def test_tokens_and_steps_are_counted() -> None:
    from dataclasses import replace

    job = replace(JOB, batch=64, samples=8, rows=7441, epochs=2)
    found = estimate_step_time(job, MODEL, find_gpu("A5000"), 300)
    assert (found.steps, found.tokens, found.trained_tokens) == (232, 64 * 8 * 512, 64 * 8 * 768)
    shorter = estimate_step_time(job, MODEL, find_gpu("A5000"), 300, completion_tokens=128)
    assert shorter.step_seconds < 0.6 * found.step_seconds
    assert estimate_step_time(job, MODEL, find_gpu("H100"), 300).step_seconds < 0.5 * found.step_seconds


# --- the command ----------------------------------------------------------------------------------------------------


def one_layer(folder: Path) -> Path:
    """A configuration and nothing else; one layer, so that it is quick."""
    (folder / "config.json").write_text(json.dumps(LLAMA_8B | {"num_hidden_layers": 1, "vocab_size": 4000}))
    return folder


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return one_layer(tmp_path_factory.mktemp("llama"))


def test_bad_requests_are_one_clear_error(llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    from permix_verl.preflight.doctor.gpus import visible_gpus

    visible_gpus.cache_clear()
    paper = ["permix_grpo", "profile=8xa5000"]
    with pytest.raises(UserError, match=r"this machine has no GPU, and none is named; give --gpu"):
        run(["plan", "--model", str(llama), "permix_grpo", "profile=gpu"])
    with pytest.raises(UserError, match=r"--rows is 0; it must be more than 0"):
        run(["plan", "--model", str(llama), "--rows", "0", *paper])
    with pytest.raises(UserError, match=r"cannot read the configuration of .*nothing"):
        run(["plan", "--model", str(tmp_path / "nothing"), "--gpu", "A5000", *paper])
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "t5", "num_hidden_layers": 2, "hidden_size": 8}))
    (tmp_path / "odd").mkdir()
    odd = LLAMA_8B | {"hidden_size": 64, "num_attention_heads": 5}
    (tmp_path / "odd" / "config.json").write_text(json.dumps(odd))
    with pytest.raises(UserError, match=r"cannot read the configuration of .*odd"):
        run(["plan", "--model", str(tmp_path / "odd"), "--gpu", "A5000", *paper])
    with pytest.raises(UserError, match=r"T5Config cannot be built with LoRA on"):
        run(["plan", "--model", str(tmp_path), "--gpu", "A5000", *paper])
