"""Doctor checks of personas, data, verl's keys, batches and checkpoints."""

import json
from pathlib import Path

import pytest

from permix_verl.preflight.doctor import config, data
from permix_verl.preflight.doctor.types import Finding, Setup

from ...support.configs import config_of
from ...support.doctor import only, problems, setup_with
from ..recipes.test_recipes import SAME_MODEL


@pytest.mark.parametrize("script", ["run_permix_grpo.sh", "run_sft.sh"])
def test_what_contradicts_a_base_in_nf4_is_refused_before_the_run(script: str) -> None:
    def check(*overrides: str, **knobs: str) -> list[Finding]:
        return problems(config.dead_keys, Setup.of_run(config_of(script, *overrides, **knobs, **SAME_MODEL)))

    assert check(PROFILE="8xa5000", QLORA="1") == []
    if script == "run_permix_grpo.sh":
        bypass = "algorithm.rollout_correction.bypass_mode=True"
        assert "contradicts QLORA=1" in check(bypass, PROFILE="8xa5000", QLORA="1")[0].text
        assert problems(config.dead_keys, setup_with(bypass)) == []
        assert "set STOP_ON_DISAGREEMENT=0" in check(bypass, PROFILE="8xa5000")[0].remedy
        assert check(bypass, PROFILE="8xa5000", STOP_ON_DISAGREEMENT="0") == []


def test_personas_that_are_held_out(tmp_path: Path) -> None:
    assert "eval" in only(data.persona_pools, Setup(personas="eval"))
    assert "none.jsonl" in only(data.persona_pools, Setup(personas=str(tmp_path / "none.jsonl")))
    assert "unknown persona 'cook'" in only(data.persona_pools, Setup(dev_personas="chef,cook"))
    (fine,) = data.persona_pools(Setup(dev_personas="chef"))
    assert fine.text.endswith("1 of them held out for validation: chef")


def test_data_that_is_not_what_its_manifest_names_or_would_be_cut(
    tmp_path: Path, problem_file: Path, tokenizer_folder: Path
) -> None:
    from permix_verl.cli import prep as gsm8k_persona

    folder = tmp_path / "run" / "data"
    given = ["--data", str(problem_file), "--tokenizer", str(tokenizer_folder), "--val-problems", "5"]
    gsm8k_persona.main([*given, "--out", str(folder)])
    setup = setup_with("data.max_prompt_length=256", run_dir=tmp_path / "run")
    assert problems(data.prepared_rows, setup) == []
    short = setup_with("data.max_prompt_length=9", run_dir=tmp_path / "run")
    assert "verl would truncate them to 9, the persona first" in only(data.prepared_rows, short)
    manifest = json.loads((folder / "manifest.json").read_text())
    leaked = next(iter(manifest["train_rows_per_persona"]))
    (folder / "manifest.json").write_text(json.dumps(manifest | {"dev_personas": [leaked]}))
    assert f"training rows have held-out personas: {leaked}" in only(data.prepared_rows, setup)
    (folder / "val.parquet").write_bytes(b"other")
    assert "is not the file in its manifest" in only(data.prepared_rows, setup)


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("actor_rollout_ref.actor.grad_clip=0.1", "actor_rollout_ref.actor.optim.clip_grad"),
        ("actor_rollout_ref.model.lora.dropout=0.1", "LORA_DROPOUT"),
        ("actor_rollout_ref.rollout.full_determinism=True", "SEED_ROLLOUTS=1"),
        ("actor_rollout_ref.rollout.load_format=dummy", "safetensors"),
        ("trainer.total_epochs=3", "EPOCHS=3"),
        ("trainer.balance_batch=false", "leave it True"),
        ("algorithm.adv_estimator=gdpo", "set grpo"),
    ],
)
def test_keys_that_do_nothing_or_something_else(override: str, told: str) -> None:
    assert told in only(config.dead_keys, setup_with("actor_rollout_ref.model.lora_rank=8", override))


def test_a_key_that_a_recorded_run_did_not_read_is_a_warning() -> None:
    unread = "actor_rollout_ref.rollout.multi_turn.max_user_turns=3"
    told = only(config.unread_keys, setup_with(unread), "warning")
    assert told.startswith(f"{unread}: no process of a recorded run of verl")
    assert problems(config.unread_keys, setup_with("actor_rollout_ref.actor.optim.clip_grad=1")) == []
    assert problems(config.unread_keys, Setup.of_run(config_of("permix_grpo", PROFILE="cpu"))) == []


def test_another_estimator_and_a_batch_that_is_balanced_are_sound() -> None:
    sound = setup_with("algorithm.adv_estimator=rloo", "trainer.balance_batch=true")
    assert problems(config.dead_keys, sound) == []


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        ([], "ppo_mini_batch_size=256 (verl's default is 256) does not divide train_batch_size=64"),
        (
            ["actor_rollout_ref.actor.ppo_mini_batch_size=64", "trainer.n_gpus_per_node=3"],
            "64 x 1 samples are not divisible by 3 ranks",
        ),
        (
            [
                "actor_rollout_ref.actor.ppo_mini_batch_size=64",
                "actor_rollout_ref.actor.ppo_micro_batch_size_per_gpu=5",
            ],
            "not a multiple of ppo_micro_batch_size_per_gpu=5",
        ),
    ],
)
def test_batches_that_do_not_divide(overrides: list[str], told: str) -> None:
    assert told in only(config.batches, setup_with("data.train_batch_size=64", *overrides))


def test_a_checkpoint_of_another_number_of_ranks(tmp_path: Path) -> None:
    folder = tmp_path / "checkpoints" / "global_step_4" / "actor"
    folder.mkdir(parents=True)
    (tmp_path / "checkpoints" / "latest_checkpointed_iteration.txt").write_text("4")
    (folder / "optim_world_size_2_rank_0.pt").touch()
    setup = setup_with("trainer.n_gpus_per_node=1", run_dir=tmp_path)
    assert "of step 4 was written by 2 ranks, but this run has 1" in only(config.resumable, setup)
    assert problems(config.resumable, setup_with("trainer.n_gpus_per_node=2", run_dir=tmp_path)) == []
