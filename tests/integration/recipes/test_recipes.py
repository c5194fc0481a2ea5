"""The recipes resolve through verl's own loading and validation, on every profile."""

import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from permix_verl import UserError
from permix_verl.config.compose import flatten
from permix_verl.config.profile_keys import PROFILE_KEYS
from permix_verl.config.resolvers import LAB_MODEL
from permix_verl.recipe import run as run_module
from permix_verl.training.dry_run import validate
from permix_verl.training.launch_settings import LaunchSettings

from ...support.configs import config_of, overrides_of

ROOT = Path(__file__).resolve().parents[3]
PROFILES = ("cpu", "gpu", "8xa5000")


def recipe(name: str, *overrides: str, **knobs: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PERMIX_SKIP_SETUP": "1", "PYTHON": sys.executable, "DRY_RUN": "1"} | knobs
    command = ["bash", str(ROOT / "recipes" / name), *overrides]
    return subprocess.run(command, capture_output=True, text=True, env=environment, stdin=subprocess.DEVNULL)


SAME_MODEL = {"MODEL": "meta-llama/Llama-3.1-8B-Instruct", "GPUS": "8", "RANKS": "8"}


def validated(*arguments: str, **knobs: str) -> dict[str, Any]:
    """Return a recipe's config as verl accepts it, by dotted keys."""
    return flatten(OmegaConf.to_container(validate(config_of(*arguments, **knobs))))  # type: ignore[arg-type]


def composed(*arguments: str, **knobs: str) -> dict[str, Any]:
    """Return the config before interpolation, without verl's derived values and the project's node."""
    flat = flatten(OmegaConf.to_container(config_of(*arguments, **knobs).node, resolve=False))  # type: ignore[arg-type]
    return {key: value for key, value in flat.items() if not key.startswith("permix.")}


@pytest.mark.parametrize("profile", PROFILES)
def test_the_grpo_recipe_resolves_on_every_profile(profile: str) -> None:
    """One recipe suffices: another test shows that the second differs in its folder only."""
    config = validated("run_permix_grpo.sh", PROFILE=profile, **SAME_MODEL)
    assert {key: config[key] for key in TABLE_7} == TABLE_7
    assert config["actor_rollout_ref.rollout.load_format"] == "safetensors"


SUPERVISED = {
    "run_sft.sh": {},
    "run_permix_sft.sh": {},
    "run_permix_sft.sh styled": {"TARGET": "styled", "REWRITER": "gpt-5-mini"},
    "run_seqkd.sh": {"TEACHER": "Qwen/Qwen3-32B"},
    "run_seqkd.sh persona": {"TEACHER": "Qwen/Qwen3-32B", "PERSONA": "1"},
}


@pytest.mark.parametrize("profile", PROFILES)
def test_the_supervised_recipe_resolves_on_every_profile(profile: str) -> None:
    config = validated("run_sft.sh", PROFILE=profile, **SAME_MODEL)
    assert {key: config[key] for key in TABLE_5} == TABLE_5


@pytest.mark.parametrize("name", SUPERVISED)
def test_persona_mixed_sft_has_twice_the_length_and_seqkd_one_for_both(name: str) -> None:
    """The SFT values are those of Tables 5 and 6."""
    length = 2048 if "permix_sft" in name else 1024
    lines = overrides_of(name.split()[0], PROFILE="8xa5000", **SUPERVISED[name], **SAME_MODEL)
    assert f"data.max_length={length}" in lines
    assert f"data.micro_batch_size_per_gpu={2048 // length}" in lines


def test_supervised_methods_differ_in_data_and_length_only() -> None:
    lines = [
        overrides_of(
            name.split()[0], PROFILE="8xa5000", MODEL="some/model", RUN_DIR="/runs/x", MAX_LENGTH="1024", **knobs
        )
        for name, knobs in SUPERVISED.items()
    ]
    assert all(other == lines[0] for other in lines)


@pytest.mark.parametrize("profile", ["cpu", "gpu"])
def test_supervised_profiles_differ_only_in_the_listed_keys(profile: str) -> None:
    one, other = (composed("run_sft.sh", PROFILE=name, **SAME_MODEL) for name in ("8xa5000", profile))
    different = {key for key in one | other if one.get(key) != other.get(key)}
    assert different
    assert {key for key in different if not key.startswith(PROFILE_KEYS)} == set()


@pytest.mark.parametrize(
    ("name", "knobs", "message"),
    [
        ("run_seqkd.sh", {"PROFILE": "gpu"}, "TEACHER is not set, so no model writes the targets"),
        ("run_permix_sft.sh", {"PROFILE": "gpu", "TARGET": "styled"}, "REWRITER is not set"),
        ("run_permix_sft.sh", {"TARGET": "rhymed"}, "unknown TARGET 'rhymed'; known: gt styled"),
        ("run_seqkd.sh", {"PERSONA": "chef"}, "PERSONA=chef is neither 0 nor 1"),
        ("run_sft.sh", {"OPTIMIZER": "sgd"}, "unknown OPTIMIZER 'sgd'; known: adamw_fused paged_adamw_8bit"),
        ("run_sft.sh", {"PROFILE": "gpu", "GPUS": "3"}, "BATCH=128 does not divide over 3 GPUs"),
        ("run_sft.sh", {"NNODES": "2"}, "NNODES=2: the supervised recipes run on one node"),
    ],
)
def test_unsupported_supervised_settings_are_refused(name: str, knobs: dict[str, str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        config_of(name, **({"PROFILE": "cpu", "LAB": "0"} | knobs))


def test_a_dry_run_of_the_targets_trains_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = recorded_calls(monkeypatch)
    config = config_of("permix_sft", TARGET="styled", TARGET_ARGS="--dry-run", LAB="1", PROFILE="cpu")
    assert run_module.run(config, ask_doctor=False) == 0
    assert [call[3] for call in calls] == ["lab-problems", "lab-problems", "prep-sft"]
    assert calls[-1][-1] == "--dry-run"


def recorded_calls(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Return the commands that preparation would run from now on."""
    calls: list[list[str]] = []
    monkeypatch.setattr("permix_verl.recipe.rows.run_command", lambda command: calls.append(command))
    monkeypatch.setattr(run_module, "set_environment", lambda config: None)
    monkeypatch.setattr(run_module, "launch", lambda settings: 0)
    return calls


def test_the_rows_are_those_of_the_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    """verl's own keys decide where there are any, so that rows and training agree."""
    calls = recorded_calls(monkeypatch)
    knobs = {"DATA": "x.jsonl", "SEED": "7", "PROFILE": "cpu", "LAB": "0", "MODEL": str(LAB_MODEL)}
    config = config_of("rlvr_grpo", "data.max_prompt_length=99", **knobs)
    assert run_module.run(config, ask_doctor=False) == 0
    (call,) = calls
    assert call[3] == "prep"
    pairs = dict(pairwise(call))
    assert (pairs["--max-prompt-length"], pairs["--seed"], pairs["--data"]) == ("99", "7", "x.jsonl")
    assert "--no-persona" in call


def test_the_papers_optimizer_is_an_option_with_a_warning_about_fsdp2(capsys: pytest.CaptureFixture[str]) -> None:
    lines = overrides_of("run_sft.sh", PROFILE="gpu", OPTIMIZER="paged_adamw_8bit")
    assert "optim.optimizer=PagedAdamW8bit" in lines
    assert not any("fused" in line for line in lines)
    assert "bitsandbytes #1633" in capsys.readouterr().err


@pytest.mark.parametrize(("name", "trainer"), [("run_permix_grpo.sh", "grpo"), ("run_sft.sh", "sft")])
def test_a_base_in_nf4_is_an_option_of_every_profile(name: str, trainer: str) -> None:
    for profile in PROFILES:
        plain, qlora = (set(overrides_of(name, PROFILE=profile, QLORA=on, **SAME_MODEL)) for on in ("0", "1"))
        model = "model" if trainer == "sft" else "actor_rollout_ref.model"
        added, gone = {f"{model}.external_lib=permix_verl.training.qlora.engine"}, set()
        if trainer == "grpo":
            least = "+trainer.v1.sampler.sampler_kwargs.min_agreement="
            added |= {"algorithm.rollout_correction.bypass_mode=False", f"{least}0.95"}
            gone = {f"{least}0.99"}
        assert (qlora - plain, plain - qlora) == (added, gone)
    validate(config_of(name, PROFILE="cpu", QLORA="1", RANKS="8"))
    with pytest.raises(UserError, match="QLORA=yes is neither 0 nor 1"):
        config_of(name, QLORA="yes")


def test_a_base_in_nf4_has_its_own_agreement_limit() -> None:
    """The rollout engine's base is not NF4, so the limit is lower; a stale adapter is far below both limits."""
    for knobs, least in (({}, 0.99), ({"QLORA": "1"}, 0.95), ({"QLORA": "1", "MIN_AGREEMENT": "0.9"}, 0.9)):
        assert LaunchSettings(config_of("permix_grpo", PROFILE="cpu", **knobs)).min_agreement == least


TABLE_5 = {
    "data.train_batch_size": 128,
    "data.epochs": 3,
    "optim.lr_scheduler_type": "cosine",
    "optim.lr_warmup_steps_ratio": 0.05,
    "optim.weight_decay": 0.0,
    "optim.override_optimizer_config.fused": True,
    "permix.lora_dropout": 0.05,
    "engine.strategy": "fsdp2",
}

TABLE_7 = {
    "data.train_batch_size": 64,
    "data.max_prompt_length": 256,
    "data.max_response_length": 512,
    "actor_rollout_ref.rollout.n": 8,
    "actor_rollout_ref.actor.ppo_mini_batch_size": 64,
    "actor_rollout_ref.actor.optim.lr_scheduler_type": "cosine",
    "actor_rollout_ref.actor.optim.lr_warmup_steps_ratio": 0.05,
    "actor_rollout_ref.actor.optim.weight_decay": 0.1,
    "actor_rollout_ref.actor.optim.clip_grad": 0.1,
    "actor_rollout_ref.actor.optim.override_optimizer_config.fused": True,
    "trainer.total_epochs": 1,
    "data.epochs": 1,
    "permix.lora_dropout": 0.05,
    "algorithm.adv_estimator": "grpo",
}


def test_strict_reaches_the_reward_function_and_nothing_else() -> None:
    lenient, strict = (set(overrides_of("run_permix_grpo.sh", PROFILE="gpu", STRICT=on)) for on in ("0", "1"))
    assert strict - lenient == {"+reward.custom_reward_function.reward_kwargs.strict=True"}
    assert lenient <= strict
    with pytest.raises(UserError, match="STRICT=yes is neither 0 nor 1"):
        config_of("run_permix_grpo.sh", STRICT="yes")
    with pytest.raises(UserError, match="TASK=code has none"):
        config_of("run_permix_grpo.sh", STRICT="1", TASK="code", DATA="x.jsonl", PROFILE="cpu")


@pytest.mark.parametrize("profile", ["cpu", "gpu"])
def test_profiles_differ_only_in_the_listed_keys(profile: str) -> None:
    one, other = (composed("run_permix_grpo.sh", PROFILE=name, **SAME_MODEL) for name in ("8xa5000", profile))
    different = {key for key in one | other if one.get(key) != other.get(key)}
    assert different
    assert {key for key in different if not key.startswith(PROFILE_KEYS)} == set()


def test_a_profile_that_changes_the_experiment_is_detected() -> None:
    """Negative control."""
    one = composed("run_permix_grpo.sh", PROFILE="cpu", **SAME_MODEL)
    other = composed("run_permix_grpo.sh", "actor_rollout_ref.rollout.n=4", PROFILE="cpu", **SAME_MODEL)
    assert {key for key in one if one[key] != other[key]} == {"actor_rollout_ref.rollout.n"}
    assert not "actor_rollout_ref.rollout.n".startswith(PROFILE_KEYS)


def test_the_two_methods_differ_only_in_the_run_folder() -> None:
    permix, rlvr = (overrides_of(f"run_{arm}_grpo.sh", PROFILE="cpu") for arm in ("permix", "rlvr"))
    assert len(permix) > 60
    renamed = [line.replace("/runs/permix-", "/runs/rlvr-").replace("name=permix-", "name=rlvr-") for line in permix]
    assert renamed == rlvr


@pytest.mark.parametrize(
    ("knobs", "update", "log_probs"),
    [
        ({}, 4, 8),
        ({"BATCH": "3", "ROLLOUTS": "3", "GPUS": "1"}, 3, 3),
        ({"BATCH": "10", "ROLLOUTS": "1", "GPUS": "1"}, 2, 5),
        ({"BATCH": "8", "GPUS": "8", "NNODES": "2"}, 4, 4),
    ],
)
def test_micro_batches_divide_a_ranks_samples(knobs: dict[str, str], update: int, log_probs: int) -> None:
    lines = overrides_of("run_permix_grpo.sh", PROFILE="gpu", **({"GPUS": "8"} | knobs))
    assert f"actor_rollout_ref.actor.ppo_micro_batch_size_per_gpu={update}" in lines
    assert f"actor_rollout_ref.rollout.log_prob_micro_batch_size_per_gpu={log_probs}" in lines


@pytest.mark.parametrize("profile", PROFILES)
def test_the_lab_resolves_on_every_profile(profile: str) -> None:
    config = validated("run_permix_grpo.sh", PROFILE=profile, LAB="1")
    assert config["actor_rollout_ref.model.path"] == str(ROOT / "permix_verl" / "lab" / "model")
    # The lab model's 6 heads do not divide over the profile's 4 GPUs.
    assert config["actor_rollout_ref.rollout.tensor_model_parallel_size"] == 1
    assert config["data.train_batch_size"] == 16


def test_the_lab_is_the_default_only_without_a_gpu_and_a_model() -> None:
    model = f"actor_rollout_ref.model.path='{ROOT}/permix_verl/lab/model'"
    assert model in overrides_of("run_permix_grpo.sh", PROFILE="cpu")
    assert model not in overrides_of("run_permix_grpo.sh", PROFILE="cpu", LAB="0")
    assert model not in overrides_of("run_permix_grpo.sh", PROFILE="gpu")
    mine = overrides_of("run_permix_grpo.sh", PROFILE="cpu", LAB="1", MODEL="some/base")
    assert "actor_rollout_ref.model.path='some/base'" in mine
    assert f"trainer.default_local_dir='{ROOT}/runs/permix-lab-base-seed0/checkpoints'" in mine, "a folder of its own"
    with pytest.raises(UserError, match="LAB=yes is neither 0 nor 1"):
        config_of("run_permix_grpo.sh", LAB="yes")


def test_a_batch_of_completions_is_trls_reading() -> None:
    lines = overrides_of("run_permix_grpo.sh", PROFILE="8xa5000", BATCH_UNIT="completions")
    assert "data.train_batch_size=8" in lines
    assert "actor_rollout_ref.actor.ppo_mini_batch_size=8" in lines


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("+actor_rollout_ref.rollout.temprature=0.7", "temprature"),
        ("actor_rollout_ref.rollout.temprature=0.7", "does not compose: Could not override .*temprature"),
        ("actor_rollout_ref.actor.ppo_micro_batch_size_per_gpu=null", "ppo_micro_batch_size"),
        ("actor_rollout_ref.actor.grad_clip=0.1", r"actor_rollout_ref.actor.grad_clip=0.1 would not do what it says"),
        ("actor_rollout_ref.model.lora_rank=1000", "lora_rank must be less than or equal"),
    ],
)
def test_a_wrong_key_or_value_is_refused_by_verls_own_classes(override: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        validate(config_of("run_permix_grpo.sh", override, PROFILE="8xa5000"))


def test_an_unknown_profile_names_the_known_ones() -> None:
    done = recipe("run_permix_grpo.sh", PROFILE="8xh100")
    assert done.returncode == 2
    assert "error: unknown profile '8xh100'; known: 8xa5000 cpu gpu" in done.stderr


def nvidia_smi(folder: Path, script: str) -> dict[str, str]:
    """Return a PATH whose nvidia-smi is this script."""
    folder.mkdir(exist_ok=True)
    (folder / "nvidia-smi").write_text(f"#!/bin/bash\n{script}\n")
    (folder / "nvidia-smi").chmod(0o755)
    return {"PATH": f"{folder}:{os.environ['PATH']}"}


@pytest.mark.parametrize(
    ("script", "profile", "gpus"),
    [
        ("echo 'NVIDIA-SMI has failed because it could not talk to the driver'; exit 9", "cpu", "1"),
        ("for i in 1 2 3 4 5 6 7 8; do echo 'NVIDIA RTX A5000'; done", "8xa5000", "8"),
        ("for i in 1 2; do echo 'NVIDIA A100'; done", "gpu", "2"),
    ],
)
def test_the_profile_follows_the_hardware(tmp_path: Path, script: str, profile: str, gpus: str) -> None:
    done = recipe("run_permix_grpo.sh", DRY_RUN="overrides", **nvidia_smi(tmp_path / "bin", script))
    assert done.returncode == 0, done.stderr
    assert f"profile {profile} " in done.stderr
    assert f"trainer.n_gpus_per_node={gpus}" in done.stdout.splitlines()


def test_hidden_gpus_are_not_used(tmp_path: Path) -> None:
    smi = nvidia_smi(tmp_path / "bin", "echo 'NVIDIA A100'")
    assert "profile cpu " in recipe("run_permix_grpo.sh", DRY_RUN="overrides", CUDA_VISIBLE_DEVICES="", **smi).stderr


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"PROFILE": "8xa5000", "GPUS": "4"}, "GPUS=4 with PROFILE=8xa5000; set PROFILE=gpu"),
        ({"TASK": "code"}, "TASK=code needs programming problems; set DATA"),
        ({"TASK": "prose", "DATA": "x.jsonl"}, "unknown TASK 'prose'; known: math code"),
        ({"BATCH_UNIT": "tokens"}, "unknown BATCH_UNIT 'tokens'; known: problems completions"),
        ({"BATCH_UNIT": "completions", "BATCH": "60"}, "BATCH=60 completions are not a whole number of groups"),
        (
            {"PROFILE": "gpu", "GPUS": "3"},
            "64 problems x ROLLOUTS=8 samples do not divide over 3 GPUs x 1 nodes",
        ),
    ],
)
def test_contradictory_numbers_are_refused(knobs: dict[str, str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        config_of("run_permix_grpo.sh", **({"PROFILE": "cpu"} | knobs))


@pytest.mark.parametrize(("task", "reward"), [("math", "math_reward"), ("code", "code_reward")])
@pytest.mark.parametrize("script", ["run_permix_grpo.sh", "run_rlvr_grpo.sh"])
def test_the_task_decides_the_reward_of_both_methods(script: str, task: str, reward: str) -> None:
    lines = overrides_of(script, PROFILE="8xa5000", TASK=task, DATA="problems.jsonl", **SAME_MODEL)
    assert f"reward.custom_reward_function.path=pkg://permix_verl.reward_fns.{reward}" in lines
    assert "reward.custom_reward_function.name=compute_score_async" in lines


def test_a_python_without_the_packages_is_named(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "bare")], check=True)
    done = recipe("run_permix_grpo.sh", PYTHON=str(tmp_path / "bare" / "bin" / "python"), PROFILE="cpu")
    assert done.returncode == 2
    assert "lacks permix_verl, verl or vllm" in done.stderr


@pytest.mark.parametrize("script", sorted(path.name for path in (ROOT / "recipes").glob("*.sh")))
def test_scripts_are_valid_bash(script: str) -> None:
    assert subprocess.run(["bash", "-n", str(ROOT / "recipes" / script)]).returncode == 0
