"""Whether the KL reference is the policy that training starts from, as verl measures it in a run's first step."""

import functools
from collections.abc import Callable
from typing import Any

DISTANCE = "training/reference_distance"
"""Mean distance of the reference's log-probs from those of the policy before any update, in nats a token."""
LIMIT = 1e-3


def measure_reference(batch: Any) -> float:
    """:data:`DISTANCE` over the response tokens of a batch that has both log-probs in verl's transfer queue."""
    import transfer_queue as tq

    fields = ["old_log_probs", "ref_log_prob", "response_mask"]
    data = tq.kv_batch_get(keys=batch.keys, partition_id=batch.partition_id, select_fields=fields).to_padded_tensor()
    mask = data["response_mask"].bool()
    return float((data["ref_log_prob"] - data["old_log_probs"])[mask].float().abs().mean())


def watch_reference(trainer: Any, refuse: Callable[[str], None]) -> None:
    """Have the first step of a run compared, before anything is learned from it.

    verl has no hook there: its trainer's own method is wrapped.

    Args:
        refuse: is told the cause to end the run for.
    """
    compute = trainer._compute_ref_log_prob

    @functools.wraps(compute)
    def compared(batch: Any, metrics: dict[str, Any]) -> Any:
        batch = compute(batch, metrics=metrics)
        if trainer.global_steps == 1:
            metrics[DISTANCE] = distance = measure_reference(batch)
            if not distance <= LIMIT:
                refuse(
                    f"the KL reference is not INIT_ADAPTER: its log-probs are {distance:.2e} nats a token from the "
                    "policy's, which has not been trained yet; see that actor_rollout_ref.model.external_lib is as the "
                    "recipe sets it"
                )
        return batch

    trainer._compute_ref_log_prob = compared
