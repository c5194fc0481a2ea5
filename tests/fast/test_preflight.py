"""Keys that would not do what they say are refused before anything starts."""

import pytest

from permix_verl import UserError
from permix_verl.training.preflight import DEAD_KEYS, SFT_DEAD_KEYS, refuse_dead_keys


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
        ("algorithm.filter_groups.enable", "True", "the recipe's has none of it"),
        ("trainer.use_v1", "False", "leave it True"),
        ("data.shuffle", "True", "leave it False"),
    ],
)
def test_a_key_that_would_not_do_what_it_says_is_refused(key: str, value: str, remedy: str) -> None:
    with pytest.raises(UserError, match=f"{key}={value} would .*{remedy}"):
        refuse_dead_keys({"a.b": "1", key: value})


def test_asynchronous_training_is_refused() -> None:
    with pytest.raises(UserError, match=r"trainer\.v1\.trainer_mode=separate_async needs another replay buffer"):
        refuse_dead_keys({"trainer.v1.trainer_mode": "separate_async"})


def test_values_that_do_work_pass() -> None:
    refuse_dead_keys(
        {
            "data.shuffle": "False",
            "trainer.total_epochs": "1",
            "actor_rollout_ref.rollout.full_determinism": "False",
            "actor_rollout_ref.rollout.load_format": "safetensors",
            "actor_rollout_ref.actor.optim.clip_grad": "0.1",
        }
    )


def test_a_dataset_of_ones_own_may_shuffle_and_full_weights_may_load_anything() -> None:
    refuse_dead_keys({"data.custom_cls.name": "Mine", "data.shuffle": "True", "trainer.total_epochs": "3"})
    load_format = {"actor_rollout_ref.rollout.load_format": "dummy"}
    refuse_dead_keys({"actor_rollout_ref.model.lora_rank": "0", **load_format})


def test_the_dead_keys_exist_in_verl_or_it_would_refuse_them_itself() -> None:
    from permix_verl.training.dry_run import compose_config

    compose_config([f"{key}=null" for key in DEAD_KEYS])  # without a plus, a key that is not there is refused
    compose_config([f"{key}=null" for key in SFT_DEAD_KEYS], "sft")


@pytest.mark.parametrize("key", SFT_DEAD_KEYS)
def test_the_sft_trainers_dead_keys_are_refused_too(key: str) -> None:
    with pytest.raises(UserError, match=f"{key}=x would not do what it says"):
        refuse_dead_keys({"data.custom_cls.name": "SupervisedDataset", key: "x"})
    with pytest.raises(UserError, match="set EPOCHS=3"):
        refuse_dead_keys({"data.custom_cls.name": "SupervisedDataset", "trainer.total_epochs": "3"})
