"""Ray resources that verl's actors take."""

from collections.abc import Mapping
from typing import Any

CPUS_PER_RANK = 3
"""CPUs that verl reserves per rank: one for each worker that it may colocate there."""
RANK_RESOURCES: Mapping[str, int] = {"CPU": CPUS_PER_RANK, "GPU": 1}
"""Resources that a rank takes on its node."""


def actor_resources(settings: Mapping[str, Any]) -> dict[str, int]:
    """Return the Ray resources that verl's actors take, resource -> amount.

    The transfer queue's controller and each of its storage units take a CPU, each rank takes :data:`RANK_RESOURCES`.
    The other actors (trainer, servers, agent loops, reward workers) take none.
    """

    def number(key: str, default: int) -> int:
        value = settings.get(key)
        return default if value is None else int(value)

    ranks = number("trainer.nnodes", 1) * number("trainer.n_gpus_per_node", 8)
    if settings.get("reward.reward_model.enable_resource_pool"):
        ranks += number("reward.reward_model.nnodes", 0) * number("reward.reward_model.n_gpus_per_node", 8)
    units = number("transfer_queue.backend.SimpleStorage.num_data_storage_units", 8)
    return {"CPU": 1 + units + RANK_RESOURCES["CPU"] * ranks, "GPU": RANK_RESOURCES["GPU"] * ranks}
