"""Keys that verl takes and then does nothing with, or something else: refused by name before a run."""

from collections.abc import Mapping

from permix_verl.errors import UserError
from permix_verl.training.qlora_settings import refuse_contradictions

_ANY = object()
OUR_DATASETS = ("PersonaMixDataset", "SupervisedDataset")
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
    refuse_contradictions(overrides)
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
