"""One GRPO run at a time, on a machine and on a Ray cluster: verl's names for things do not tell two runs apart."""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from permix_verl.errors import UserError
from permix_verl.utils import processes
from permix_verl.utils.files import file_lock
from permix_verl.utils.ray_cluster import connected

GRPO_VARIABLE = "PERMIX_GRPO_RUN"
"""Inherited by the processes of such a run. Supervised runs have neither Ray nor sockets, and may go beside it."""


@contextlib.contextmanager
def alone_on_this_machine() -> Iterator[None]:
    """One run on a machine, and one on a Ray cluster that is there already (``RAY_ADDRESS``).

    verl names the sockets that weights travel through by Ray's job id, which is the same in every
    private Ray: two runs side by side could feed each other's rollout engines. And a cluster has one
    transfer queue, by name: a second run would take the first one's rollouts.

    Raises:
        UserError: another run is training there.
    """
    if os.environ.get("RAY_ADDRESS"):
        refuse_a_busy_cluster()
        yield
        return
    refusal = "another run is training on this machine, and verl would mix up their weights; wait for it"
    with file_lock(Path(tempfile.gettempdir()) / f"permix_verl-{os.getuid()}.lock", refusal):
        orphans = processes.find_processes(variable=GRPO_VARIABLE)
        if orphans:
            raise UserError(
                f"{len(orphans)} processes of a run whose launcher was killed are still training on this machine (such "
                f"as {orphans[0].pid}); give that run's command again, which ends them, or end them by their ids"
            )
        yield


def refuse_a_busy_cluster() -> None:
    """Refuse the cluster ``RAY_ADDRESS`` if verl is training on it already, or it cannot be reached.

    Raises:
        UserError: either.
    """
    import ray

    with connected():
        try:
            ray.get_actor("TransferQueueController", namespace="transfer_queue")
        except ValueError:
            return
    raise UserError(
        f"another run is training on the Ray cluster {os.environ['RAY_ADDRESS']}, and verl would mix up their "
        "rollouts; wait for it, or end what it left there"
    )
