"""Callback that records rollouts with each checkpoint, and stashes its adapter.

    trainer.checkpoint_callback_class=permix_verl.training.hooks.checkpoint_callback.RecordRollouts

The record holds the actor's log-probs of the step's rollouts under the saved weights;
the exported adapter is checked against it. The adapter is stashed where verl does not
remove it.
"""

from pathlib import Path
from typing import Any

import torch
from verl.trainer.ppo.checkpoint_callback import CheckpointCallback

from permix_verl.checkpoints.best import stash_adapter
from permix_verl.runs.folder import RunFolder
from permix_verl.runs.trainers import ROLLOUT_RECORD
from permix_verl.utils.files import atomic_file

MAX_ROLLOUTS = 64
"""Rollouts recorded per checkpoint."""


class RecordRollouts(CheckpointCallback):
    """Writer of ``rollout_log_probs.pt`` in the checkpoint: prompts, responses and log-probs, one list entry each.

    Failures are logged and never stop training; the check at the end of the run reports a missing record.
    """

    def on_save(self, trainer: Any, global_step: int, checkpoint_dir: str, async_save: bool = False, **_: Any) -> None:
        path = Path(checkpoint_dir) / ROLLOUT_RECORD
        try:
            with atomic_file(path) as partial:
                torch.save(actor_log_probs(trainer), partial)
        except Exception as error:  # verl would end training
            print(f"permix_verl: no rollouts recorded with step {global_step}: {error!r}")
        run_dir = trainer.config.trainer.v1.sampler.sampler_kwargs.get("run_dir")
        if run_dir:
            try:
                stash_adapter(RunFolder(Path(run_dir)), Path(checkpoint_dir))
            except Exception as error:  # verl would end training
                print(f"permix_verl: the adapter of step {global_step} was not kept: {error!r}")


def actor_log_probs(trainer: Any) -> dict[str, Any]:
    """Return up to :data:`MAX_ROLLOUTS` rollouts of the current step with the actor's log-probs of their responses."""
    import transfer_queue as tq
    from transfer_queue import KVBatchMeta
    from verl.workers.utils.padding import response_from_nested

    partition = "train"
    temperature = trainer.config.actor_rollout_ref.rollout.temperature
    entries = {
        key: tag for key, tag in tq.kv_list(partition)[partition].items() if "seq_len" in tag
    }  # prompts are registered too, without a length
    batch = KVBatchMeta(partition_id=partition, keys=list(entries), tags=list(entries.values()))
    batch.extra_info.update({"calculate_entropy": False, "compute_loss": False, "temperature": temperature})
    trainer.actor_rollout_wg.compute_log_prob(batch)

    keys = [key for key, tag in entries.items() if not tag.get("is_padding", False)][:MAX_ROLLOUTS]
    fields = ["prompts", "responses", "log_probs", "response_mask"]
    data = tq.kv_batch_get(keys=keys, partition_id=partition, select_fields=fields)
    log_probs = response_from_nested(data["log_probs"], data["response_mask"])
    return {
        "temperature": float(temperature),
        "prompts": [ids.tolist() for ids in data["prompts"].unbind()],
        "responses": [ids.tolist() for ids in data["responses"].unbind()],
        "log_probs": [values.float().tolist() for values in log_probs.unbind()],
    }
