"""Keys that verl ignores or misinterprets are refused before the run starts."""

import pytest

from permix_verl import UserError
from permix_verl.config.compose import compose_verl
from permix_verl.config.unread_keys import known_unread
from permix_verl.training.guards.dead_keys import DEAD_KEYS, SFT_DEAD_KEYS, V1_FIXED, V1_LACKS, refuse_dead_keys

from ...support.configs import bare, config_of


@pytest.mark.parametrize(
    ("key", "value", "remedy"),
    [
        ("actor_rollout_ref.actor.grad_clip", "0.1", "set actor_rollout_ref.actor.optim.clip_grad"),
        ("actor_rollout_ref.model.lora.dropout", "0.05", "set LORA_DROPOUT"),
        ("actor_rollout_ref.rollout.full_determinism", "true", "set SEED_ROLLOUTS=1"),
        ("actor_rollout_ref.rollout.load_format", "dummy", "leave it safetensors"),
        ("trainer.total_epochs", "3", "set EPOCHS=3"),
        ("data.gen_batch_size", "32", "leave it unset"),
        ("data.filter_overlong_prompts", "True", "set PROMPT_LENGTH"),
        ("algorithm.filter_groups.enable", "True", "the recipe's replay buffer does not filter groups"),
        ("trainer.use_v1", "False", "leave it True"),
        ("data.shuffle", "True", "leave it False"),
    ],
)
def test_a_key_that_would_not_do_what_it_says_is_refused(key: str, value: str, remedy: str) -> None:
    with pytest.raises(UserError, match=f"(?i){key}={value} would .*{remedy}"):
        refuse_dead_keys(bare("a.b=1", f"{key}={value}"))


def test_asynchronous_training_is_refused() -> None:
    with pytest.raises(UserError, match=r"trainer\.v1\.trainer_mode=separate_async needs another replay buffer"):
        refuse_dead_keys(bare("trainer.v1.trainer_mode=separate_async"))


def test_values_that_do_work_pass() -> None:
    refuse_dead_keys(
        bare(
            "data.shuffle=False",
            "trainer.total_epochs=1",
            "actor_rollout_ref.rollout.full_determinism=False",
            "actor_rollout_ref.rollout.load_format=safetensors",
            "actor_rollout_ref.actor.optim.clip_grad=0.1",
        )
    )


def test_a_users_own_dataset_may_shuffle_and_full_weights_may_load_anything() -> None:
    refuse_dead_keys(bare("data.custom_cls.name=Mine", "data.shuffle=True", "trainer.total_epochs=3"))
    refuse_dead_keys(bare("actor_rollout_ref.model.lora_rank=0", "actor_rollout_ref.rollout.load_format=dummy"))


def test_the_dead_keys_exist_in_verl_or_it_would_refuse_them_itself() -> None:
    # Without a plus, a key that is not there is refused.
    compose_verl("grpo", [f"{key}=null" for key in (*DEAD_KEYS, *V1_FIXED)])
    compose_verl("sft", [f"{key}=null" for key in SFT_DEAD_KEYS])


@pytest.mark.parametrize("key", SFT_DEAD_KEYS)
def test_the_sft_trainers_dead_keys_are_refused_too(key: str) -> None:
    with pytest.raises(UserError, match=f"{key}=x would not do what it says"):
        refuse_dead_keys(bare("data.custom_cls.name=SupervisedDataset", f"{key}=x", trainer="sft"))
    with pytest.raises(UserError, match="set EPOCHS=3"):
        refuse_dead_keys(bare("data.custom_cls.name=SupervisedDataset", "trainer.total_epochs=3", trainer="sft"))


READ_ALL_THE_SAME = {
    "data.gen_batch_size",  # read, and against a resume
    "skip.rollout.enable",  # read by a wrapper of a method that V1 does not call
    "skip.async_rollout.enable",
    "data.return_raw_chat",  # stored, and looked at by nothing
    "data.return_full_prompt",
}


def test_the_keys_that_are_refused_were_found_by_running_too() -> None:
    """The record of a run has every key of the list that nothing reads; the list has what to set instead."""
    without_effect = {key for key, (refused, *_) in DEAD_KEYS.items() if not isinstance(refused, bool | str)}
    assert (without_effect | V1_FIXED.keys()) - known_unread("grpo", "0.9.1") == READ_ALL_THE_SAME
    assert SFT_DEAD_KEYS.keys() <= known_unread("sft", "0.9.1")
    effective = {"actor_rollout_ref.actor.optim.clip_grad", "data.train_batch_size", "trainer.save_freq"}
    assert not effective & known_unread("grpo", "0.9.1"), "negative control"
    assert known_unread("grpo", "0.0") == frozenset()


@pytest.mark.parametrize("key", V1_FIXED)
def test_keys_that_v1_does_not_read_are_refused_unless_set_to_its_behaviour(key: str) -> None:
    effective, _ = V1_FIXED[key]
    other = not effective if isinstance(effective, bool) else 7
    with pytest.raises(UserError, match=f"{key}={other} would have no effect: .*; leave it {effective}"):
        refuse_dead_keys(bare(f"{key}={other}"))
    for spelling in (str(effective), str(effective).lower()):
        refuse_dead_keys(bare(f"{key}={spelling}"))


def test_v1s_behaviour_is_verls_default() -> None:
    config = compose_verl("grpo")
    assert {key: config[key] for key in V1_FIXED} == {key: V1_FIXED[key][0] for key in V1_FIXED}


def test_a_users_own_dataset_may_read_keys_that_verls_does_not() -> None:
    refuse_dead_keys(bare("data.custom_cls.name=Mine", "data.return_full_prompt=True"))


@pytest.mark.parametrize("name", V1_LACKS)
@pytest.mark.parametrize("spelling", ["{}", '"{}"'])
def test_estimators_whose_fields_v1_lacks_are_refused(name: str, spelling: str) -> None:
    refused = f"algorithm.adv_estimator={name} would end the run at its first step: verl's V1 trainer .*; set grpo"
    with pytest.raises(UserError, match=refused):
        refuse_dead_keys(bare(f"algorithm.adv_estimator={spelling.format(name)}"))


def test_the_other_estimators_need_only_the_fields_of_v1() -> None:
    """Run verl's own estimators on the fields that V1 fetches: exactly the refused ones fail."""
    import numpy as np
    import torch
    from verl import DataProto
    from verl.trainer.config import AlgoConfig
    from verl.trainer.ppo.core_algos import AdvantageEstimator
    from verl.trainer.ppo.v1.utils import compute_advantage_for_multi_trajectories

    failed = set()
    for estimator in AdvantageEstimator:
        fields = ("rm_scores", "token_level_scores", "token_level_rewards", "old_log_probs", "ref_log_prob", "values")
        data = DataProto.from_dict({field: torch.rand(4, 3) for field in fields} | {"response_mask": torch.ones(4, 3)})
        data.non_tensor_batch["uid"] = np.array(["a", "a", "b", "b"], dtype=object)
        config = AlgoConfig(adv_estimator=estimator.value, gdpo_reward_keys=["format"])
        try:
            keys = [f"{uid}_{session}_0" for uid in "ab" for session in (0, 1)]
            compute_advantage_for_multi_trajectories(data, keys, estimator.value, config=config)
        except (KeyError, TypeError, AssertionError):
            failed.add(estimator.value)
        else:
            refuse_dead_keys(bare(f"algorithm.adv_estimator={estimator.value}"))
    assert failed == set(V1_LACKS)


def test_settings_of_estimators_that_would_not_reach_them_are_refused() -> None:
    with pytest.raises(UserError, match=r"use_pf_ppo=True would not do what it says: .*; leave it False"):
        refuse_dead_keys(bare("algorithm.use_pf_ppo=true"))
    refuse_dead_keys(bare("algorithm.use_pf_ppo=False"))
    unscaled = "algorithm.norm_adv_by_std_in_grpo=False"
    with pytest.raises(UserError, match=r"norm_adv_by_std_in_grpo=False would have no effect: .*; set .*=grpo"):
        refuse_dead_keys(bare("algorithm.adv_estimator=grpo_vectorized", unscaled))
    refuse_dead_keys(bare("algorithm.adv_estimator=grpo", unscaled))
    refuse_dead_keys(bare("algorithm.adv_estimator=grpo_vectorized"))


@pytest.mark.parametrize(
    ("method", "given", "loggers"),
    [
        ("permix_grpo", ["trainer.logger=[console,tensorboard]"], ["console", "tensorboard"]),
        ("sft", ["trainer.logger=['console','wandb']"], ["console", "wandb"]),
        ("permix_grpo", ["trainer.logger=[console,file]", 'trainer.logger=["tensorboard"]'], ["tensorboard"]),
        ("sft", ["trainer.logger=tensorboard"], ["tensorboard"]),
        ("sft", ["trainer.logger=null"], []),
    ],
)
def test_logging_to_the_file_cannot_be_dropped(
    method: str, given: list[str], loggers: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert config_of(method, *given, PROFILE="cpu")["trainer.logger"] == [*loggers, "file"]
    said = capsys.readouterr().out
    assert said == f"trainer.logger=[{','.join(loggers)}] has no 'file', which the run checks read; it is added\n"


@pytest.mark.parametrize("given", ["[console,file]", '["file"]', "file"])
def test_loggers_with_the_file_stay_as_they_are(given: str, capsys: pytest.CaptureFixture[str]) -> None:
    loggers = config_of("permix_grpo", f"trainer.logger={given}", PROFILE="cpu")["trainer.logger"]
    assert loggers in (["console", "file"], ["file"], "file")
    assert capsys.readouterr().out == ""


def test_trackers_come_behind_console_and_file() -> None:
    assert config_of("rlvr_grpo", PROFILE="cpu", TRACKERS="wandb,mlflow")["trainer.logger"] == [
        "console",
        "file",
        "wandb",
        "mlflow",
    ]
