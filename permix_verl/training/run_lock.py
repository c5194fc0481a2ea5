"""Allow one GRPO run per machine and per Ray cluster: verl's socket and queue names would collide."""

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
"""Environment variable that all processes of a GRPO run inherit. SFT runs use neither Ray nor sockets: no lock."""


@contextlib.contextmanager
def hold_run_lock() -> Iterator[None]:
    """Hold the machine's GRPO lock or, with ``RAY_ADDRESS``, refuse a cluster on which a run is training.

    verl names the sockets for weight transfer by Ray's job id, which is the same in every private Ray instance: two
    concurrent runs could load each other's weights. On a cluster verl's transfer queue has a fixed name: a second run
    would take the first one's rollouts.

    Raises:
        UserError: another run is training there, or the cluster cannot be reached.
    """
    if os.environ.get("RAY_ADDRESS"):
        refuse_busy_cluster()
        yield
        return
    problem = "another run is training on this machine, and verl would mix up their weights"
    with file_lock(Path(tempfile.gettempdir()) / f"permix_verl-{os.getuid()}.lock", problem, "wait for it"):
        orphans = processes.find_processes(variable=GRPO_VARIABLE)
        if orphans:
            raise UserError(
                f"{len(orphans)} processes of a run whose launcher was killed are still training on this machine "
                f"(such as {orphans[0].pid})",
                "give that run's command again, which ends them, or kill them by id",
            )
        yield


def refuse_busy_cluster() -> None:
    """Check that verl is not training on the cluster ``RAY_ADDRESS`` yet.

    Raises:
        UserError: a run is training on the cluster, or the cluster cannot be reached.
    """
    import ray

    with connected():
        try:
            ray.get_actor("TransferQueueController", namespace="transfer_queue")
        except ValueError:
            return
    raise UserError(
        f"another run is training on the Ray cluster {os.environ['RAY_ADDRESS']}, and verl would mix up their rollouts",
        "wait for it, or end the Ray actors it left there",
    )
