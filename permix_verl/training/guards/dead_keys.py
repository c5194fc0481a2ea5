"""Keys that verl takes and then does nothing with, or something else: refused by name before a run."""

from collections.abc import Mapping

from permix_verl.errors import UserError
from permix_verl.runs.data_files import OUR_DATASETS
from permix_verl.runs.init_adapter_settings import refuse_unfit_adapter
from permix_verl.training.qlora.settings import refuse_contradictions

_ANY = object()
DEAD_KEYS: Mapping[str, tuple[object, str]] = {
    "actor_rollout_ref.actor.grad_clip": (
        _ANY,
        "verl reads it nowhere, clipping stays as it was; set actor_rollout_ref.actor.optim.clip_grad",
    ),
    "actor_rollout_ref.model.lora.dropout": (_ANY, "verl's FSDP engine does not read it; set LORA_DROPOUT"),
    "actor_rollout_ref.actor.fsdp_config.dtype": (
        _ANY,
        "verl's FSDP engine does not read it; set actor_rollout_ref.actor.fsdp_config.mixed_precision",
    ),
    "actor_rollout_ref.actor.use_torch_compile": (
        _ANY,
        "verl's FSDP engine does not read it; set actor_rollout_ref.actor.fsdp_config.use_torch_compile",
    ),
    "actor_rollout_ref.rollout.full_determinism": (
        "True",
        "it gives all samples of a group one seed, and the advantage is zero; set SEED_ROLLOUTS=1",
    ),
    "data.shuffle": ("True", "the dataset draws an order for each epoch; leave it False"),
    "actor_rollout_ref.rollout.load_format": (
        "dummy",
        "with LoRA verl syncs the adapter only, so the base would stay random; leave it safetensors",
    ),
    "data.filter_overlong_prompts": (
        "True",
        "it drops rows after they were counted; preparation drops them, under every persona alike: set PROMPT_LENGTH",
    ),
    "data.gen_batch_size": (_ANY, "a step is one batch here, and resuming counts on it; leave it unset"),
    "algorithm.filter_groups.enable": ("True", "verl's own replay buffer does it, and the recipe's has none of it"),
    "trainer.v1.sampler.sync_refill_failed_groups": (
        "True",
        "verl's own replay buffer does it; the recipe's ends a run whose rollouts fail",
    ),
    "trainer.use_v1": ("False", "watchdog, counters and live settings need verl's V1 trainer; leave it True"),
}
"""Key to (the value that is refused, the reason with the remedy)."""
SFT_DEAD_KEYS: Mapping[str, tuple[object, str]] = {
    "engine.dtype": (_ANY, "verl's FSDP engine does not read it; set engine.mixed_precision"),
    "trainer.seed": (_ANY, "verl's SFT trainer reads it nowhere; set SEED"),
    "data.truncation": (_ANY, "nothing is cut: rows that are too long are refused; set MAX_LENGTH"),
}
"""The same for the SFT trainer's keys."""

_NOT_READ = "verl's V1 trainer does not read it"
V1_FIXED: Mapping[str, tuple[str, str]] = {
    "trainer.balance_batch": (
        "True",
        "verl's V1 trainer balances every batch, whatever is set (verl #7758), and its SFT trainer balances none",
    ),
    "trainer.esi_redundant_time": ("0", _NOT_READ),
    "trainer.ray_wait_register_center_timeout": ("300", _NOT_READ),
    "actor_rollout_ref.nccl_timeout": ("600", "verl reads it nowhere"),
    "actor_rollout_ref.hybrid_engine": ("True", "verl's synchronous V1 trainer does not read it"),
    "actor_rollout_ref.actor.calculate_sum_pi_squared": ("False", _NOT_READ),
    "actor_rollout_ref.actor.use_prefix_grouper": ("False", _NOT_READ),
    "skip.rollout.enable": ("False", "verl's V1 trainer generates through a method that it does not wrap"),
    "skip.async_rollout.enable": ("False", "only verl's fully asynchronous trainer reads it"),
    "data.return_raw_input_ids": ("False", "verl reads it nowhere"),
    "data.return_raw_chat": ("True", "verl's dataset stores it and never reads it"),
    "data.return_full_prompt": ("False", "verl's dataset stores it and never reads it"),
}
"""Key to (the value that V1 acts by, why another has no effect). Read in verl 0.9.1."""
_NO_SUM = "verl's V1 trainer hands it no sum_pi_squared, whatever the actor is told to calculate"
V1_LACKS: Mapping[str, str] = {
    "gdpo": "verl's V1 trainer hands it no prompts, no attention_mask and no reward components",
    "remax": "verl's V1 trainer samples no greedy baseline, so it has no reward_baselines",
    "optimal_token_baseline": _NO_SUM,
    "tir_optimal_token_baseline": _NO_SUM,
}
"""Advantage estimators that need more than the fields that V1's ``_compute_advantage`` fetches, and what they lack."""


def refuse_dead_keys(overrides: Mapping[str, str]) -> None:
    """Refuse overrides that would not do what their names say.

    A dataset class of the user's own may shuffle and count epochs as it likes, and without LoRA any load format works.

    Raises:
        UserError: the first of them, with what to set instead.
    """
    our_dataset = overrides.get("data.custom_cls.name", OUR_DATASETS[0]) in OUR_DATASETS
    lora = overrides.get("actor_rollout_ref.model.lora_rank", "1") != "0"
    for key, (refused, reason) in {**DEAD_KEYS, **SFT_DEAD_KEYS}.items():
        if (key == "data.shuffle" and not our_dataset) or (key.endswith("load_format") and not lora):
            continue
        value = overrides.get(key)
        if value is not None and (refused is _ANY or value.lower() == str(refused).lower()):
            raise UserError(f"{key}={value} would not do what it says: {reason}")
    _refuse_what_v1_ignores(overrides, our_dataset)
    _refuse_estimators(overrides)
    refuse_contradictions(overrides)
    refuse_unfit_adapter(overrides)
    judged = overrides.get("trainer.v1.sampler.sampler_kwargs.stop_on_disagreement", "0") != "0"
    if judged and overrides.get("algorithm.rollout_correction.bypass_mode", "").lower() == "true":
        raise UserError(
            "algorithm.rollout_correction.bypass_mode=True: rollout and actor are then not compared, and the run would "
            "end at its first step; leave it False, or set STOP_ON_DISAGREEMENT=0"
        )
    mode = overrides.get("trainer.v1.trainer_mode", "sync")
    if mode != "sync":
        raise UserError(f"trainer.v1.trainer_mode={mode} needs another replay buffer than the recipe's; leave it sync")
    epochs = overrides.get("trainer.total_epochs", "1")
    if our_dataset and epochs != "1":
        raise UserError(
            f"trainer.total_epochs={epochs} would repeat the first epoch's personas, and verl loses rows where it "
            f"resumes between epochs; set EPOCHS={epochs} (data.epochs) and leave trainer.total_epochs at 1"
        )


def _refuse_what_v1_ignores(overrides: Mapping[str, str], our_dataset: bool) -> None:
    for key, (acted_by, reason) in V1_FIXED.items():
        if key.startswith("data.") and not our_dataset:
            continue
        value = overrides.get(key)
        if value is not None and value.strip("\"'").lower() != acted_by.lower():
            raise UserError(f"{key}={value} would have no effect: {reason}; leave it {acted_by}")


def _refuse_estimators(overrides: Mapping[str, str]) -> None:
    estimator = overrides.get("algorithm.adv_estimator", "").strip("\"'")
    if estimator in V1_LACKS:
        raise UserError(
            f"algorithm.adv_estimator={estimator} would end the run at its first step: {V1_LACKS[estimator]}; "
            "set grpo, or another that needs rewards and groups alone, like rloo"
        )
    if overrides.get("algorithm.use_pf_ppo", "").lower() == "true":
        raise UserError(
            "algorithm.use_pf_ppo=True would not do what it says: only GAE reads it, and verl's V1 trainer then writes "
            "the resampled advantages to the rows that were there before; leave it False"
        )
    if estimator == "grpo_vectorized" and overrides.get("algorithm.norm_adv_by_std_in_grpo", "").lower() == "false":
        raise UserError(
            "algorithm.norm_adv_by_std_in_grpo=False would have no effect: verl does not hand it to grpo_vectorized, "
            "which divides by the deviation; set algorithm.adv_estimator=grpo"
        )
