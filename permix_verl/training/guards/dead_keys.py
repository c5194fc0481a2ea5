"""Config keys that verl accepts but ignores or misinterprets; refused before the run starts."""

from collections.abc import Mapping

from permix_verl.config.compose import RunConfig
from permix_verl.errors import UserError
from permix_verl.runs.data_files import OUR_DATASETS
from permix_verl.runs.init_adapter_settings import refuse_unfit_adapter
from permix_verl.training.qlora.settings import refuse_contradictions

_ANY = object()
DEAD_KEYS: Mapping[str, tuple[object, str, str]] = {
    "actor_rollout_ref.actor.grad_clip": (
        _ANY,
        "verl never reads it, so clipping would not change",
        "set actor_rollout_ref.actor.optim.clip_grad",
    ),
    "actor_rollout_ref.model.lora.dropout": (_ANY, "verl's FSDP engine does not read it", "set LORA_DROPOUT"),
    "actor_rollout_ref.actor.fsdp_config.dtype": (
        _ANY,
        "verl's FSDP engine does not read it",
        "set actor_rollout_ref.actor.fsdp_config.mixed_precision",
    ),
    "actor_rollout_ref.actor.use_torch_compile": (
        _ANY,
        "verl's FSDP engine does not read it",
        "set actor_rollout_ref.actor.fsdp_config.use_torch_compile",
    ),
    "actor_rollout_ref.rollout.full_determinism": (
        True,
        "it gives all samples of a group one seed, so the advantage is zero",
        "set SEED_ROLLOUTS=1",
    ),
    "data.shuffle": (True, "the dataset has a seeded order for each epoch", "leave it False"),
    "actor_rollout_ref.rollout.load_format": (
        "dummy",
        "with LoRA verl syncs only the adapter, so the base would stay random",
        "leave it safetensors",
    ),
    "data.filter_overlong_prompts": (
        True,
        "it drops rows after they were counted",
        "set PROMPT_LENGTH: preparation drops them, for all personas alike",
    ),
    "data.gen_batch_size": (_ANY, "a resume relies on one batch per step", "leave it unset"),
    "algorithm.filter_groups.enable": (True, "the recipe's replay buffer does not filter groups", "leave it False"),
    "trainer.v1.sampler.sync_refill_failed_groups": (
        True,
        "the recipe's replay buffer ends a run whose rollouts fail",
        "leave it False",
    ),
    "trainer.use_v1": (
        False,
        "watchdog, persona metrics and effective settings need verl's V1 trainer",
        "leave it True",
    ),
}
"""Key -> (refused value, reason, remedy)."""
SFT_DEAD_KEYS: Mapping[str, tuple[object, str, str]] = {
    "engine.dtype": (_ANY, "verl's FSDP engine does not read it", "set engine.mixed_precision"),
    "trainer.seed": (_ANY, "verl's SFT trainer never reads it", "set SEED"),
    "data.truncation": (_ANY, "nothing is truncated, rows that are too long are refused", "set MAX_LENGTH"),
}
"""Keys of the SFT trainer, likewise."""

_NOT_READ = "verl's V1 trainer does not read it"
V1_FIXED: Mapping[str, tuple[object, str]] = {
    "trainer.balance_batch": (
        True,
        "verl's V1 trainer always balances batches (verl #7758), and its SFT trainer never does",
    ),
    "trainer.esi_redundant_time": (0, _NOT_READ),
    "trainer.ray_wait_register_center_timeout": (300, _NOT_READ),
    "actor_rollout_ref.nccl_timeout": (600, "verl never reads it"),
    "actor_rollout_ref.hybrid_engine": (True, "verl's synchronous V1 trainer does not read it"),
    "actor_rollout_ref.actor.calculate_sum_pi_squared": (False, _NOT_READ),
    "actor_rollout_ref.actor.use_prefix_grouper": (False, _NOT_READ),
    "skip.rollout.enable": (False, "verl's V1 trainer generates through a method that it does not wrap"),
    "skip.async_rollout.enable": (False, "only verl's fully asynchronous trainer reads it"),
    "data.return_raw_input_ids": (False, "verl never reads it"),
    "data.return_raw_chat": (True, "verl's dataset stores it and never reads it"),
    "data.return_full_prompt": (False, "verl's dataset stores it and never reads it"),
}
"""Key -> (effective value, why another has no effect). Read in verl 0.9.1."""
_NO_SUM = "verl's V1 trainer never passes it sum_pi_squared"
V1_LACKS: Mapping[str, str] = {
    "gdpo": "verl's V1 trainer passes it no prompts, no attention_mask and no reward components",
    "remax": "verl's V1 trainer samples no greedy baseline, so it has no reward_baselines",
    "optimal_token_baseline": _NO_SUM,
    "tir_optimal_token_baseline": _NO_SUM,
}
"""Advantage estimator -> what it needs beyond the fields that V1's ``_compute_advantage`` fetches."""


def refuse_dead_keys(config: RunConfig) -> None:
    """Refuse settings that verl ignores or misinterprets.

    A user's own dataset class may shuffle and repeat epochs, and without LoRA any load format works.

    Raises:
        UserError: the first such override.
    """
    our_dataset = config.get("data.custom_cls.name", OUR_DATASETS[0]) in OUR_DATASETS
    lora = config.get("actor_rollout_ref.model.lora_rank", 1) != 0
    for key, (refused, reason, remedy) in {**DEAD_KEYS, **SFT_DEAD_KEYS}.items():
        if (key == "data.shuffle" and not our_dataset) or (key.endswith("load_format") and not lora):
            continue
        value = config.given.get(key) if refused is _ANY else config.get(key)
        if value is not None and (refused is _ANY or value == refused):
            raise UserError(f"{key}={value} would not do what it says: {reason}", remedy)
    _refuse_fixed_keys(config, our_dataset)
    _refuse_estimators(config)
    refuse_contradictions(config)
    refuse_unfit_adapter(config)
    stops = config.get("trainer.v1.sampler.sampler_kwargs.stop_on_disagreement", 0)
    if stops and config.get("algorithm.rollout_correction.bypass_mode"):
        raise UserError(
            "algorithm.rollout_correction.bypass_mode=True: rollout and actor would not be compared, and the run "
            "would end at its first step",
            "leave it False, or set STOP_ON_DISAGREEMENT=0",
        )
    mode = config.get("trainer.v1.trainer_mode", "sync")
    if mode != "sync":
        raise UserError(
            f"trainer.v1.trainer_mode={mode} needs another replay buffer than the recipe's", "leave it sync"
        )
    epochs = config.get("trainer.total_epochs", 1)
    if our_dataset and epochs != 1:
        raise UserError(
            f"trainer.total_epochs={epochs} would repeat the first epoch's personas, and verl loses rows if it "
            "resumes between epochs",
            f"set EPOCHS={epochs} (data.epochs) and leave trainer.total_epochs at 1",
        )


def _refuse_fixed_keys(config: RunConfig, our_dataset: bool) -> None:
    for key, (effective, reason) in V1_FIXED.items():
        if key.startswith("data.") and not our_dataset:
            continue
        value = config.given.get(key)
        if value is not None and value != effective:
            raise UserError(f"{key}={value} would have no effect: {reason}", f"leave it {effective}")


def _refuse_estimators(config: RunConfig) -> None:
    estimator = str(config.get("algorithm.adv_estimator"))
    if estimator in V1_LACKS:
        raise UserError(
            f"algorithm.adv_estimator={estimator} would end the run at its first step: {V1_LACKS[estimator]}",
            "set grpo, or another that needs only rewards and groups, such as rloo",
        )
    if config.get("algorithm.use_pf_ppo"):
        raise UserError(
            "algorithm.use_pf_ppo=True would not do what it says: only GAE reads it, and verl's V1 trainer then "
            "writes the resampled advantages to the original rows",
            "leave it False",
        )
    if estimator == "grpo_vectorized" and config.get("algorithm.norm_adv_by_std_in_grpo") is False:
        raise UserError(
            "algorithm.norm_adv_by_std_in_grpo=False would have no effect: verl does not pass it to grpo_vectorized, "
            "which divides by the standard deviation",
            "set algorithm.adv_estimator=grpo",
        )
