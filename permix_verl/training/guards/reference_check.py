"""Check in a run's first step that the KL reference is the policy that training starts from."""

import functools
from collections.abc import Callable
from typing import Any

DISTANCE = "training/reference_distance"
"""Metric: mean absolute log-prob difference of reference and untrained policy, in nats per token."""
MAX_DISTANCE = 1e-3


def measure_reference(batch: Any) -> float:
    """Return :data:`DISTANCE` over the response tokens of a batch with both log-probs in verl's transfer queue."""
    import transfer_queue as tq

    fields = ["old_log_probs", "ref_log_prob", "response_mask"]
    data = tq.kv_batch_get(keys=batch.keys, partition_id=batch.partition_id, select_fields=fields).to_padded_tensor()
    mask = data["response_mask"].bool()
    return float((data["ref_log_prob"] - data["old_log_probs"])[mask].float().abs().mean())


def check_reference_before_update(trainer: Any, refuse: Callable[[str], None]) -> None:
    """Wrap the trainer's ``_compute_ref_log_prob``, for lack of a hook in verl, to check step 1 before its update.

    Args:
        refuse: called with the cause if the reference is another policy.
    """
    compute = trainer._compute_ref_log_prob

    @functools.wraps(compute)
    def compute_and_check(batch: Any, metrics: dict[str, Any]) -> Any:
        batch = compute(batch, metrics=metrics)
        if trainer.global_steps == 1:
            metrics[DISTANCE] = distance = measure_reference(batch)
            if not distance <= MAX_DISTANCE:
                refuse(
                    f"the KL reference is not INIT_ADAPTER: its log-probs differ by {distance:.2e} nats per token from "
                    "those of the untrained policy; leave actor_rollout_ref.model.external_lib as the recipe sets it"
                )
        return batch

    trainer._compute_ref_log_prob = compute_and_check
