"""Log in verl's driver what only Ray knows of a run: actors that cannot be placed, and actors that have died.

verl silently waits for both without a timeout. A thread of the driver queries Ray's head node; the launcher reads the
lines (``permix_verl.training.launch_watch``), which all begin with "permix_verl:".
"""

import contextlib
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from permix_verl.errors import first_line
from permix_verl.training.log_signs import PLACEMENT_RESUMED, PLACEMENT_WAITS, RAY_WATCH_PREFIX, REMOTE_NODES, LogSigns

INTERVAL_S = 3.0
"""Seconds between queries."""
SHORTAGE_S = 10.0
"""Seconds of shortage before it is reported: resources are reassigned while a run starts."""
UNAVAILABLE = "which this cluster cannot give"
"""Part of a line about resources that the cluster lacks, other than those this run holds."""
INTENDED_DEATH = re.compile("INTENDED|exit_actor|ray.kill|went out of scope|owner", re.IGNORECASE)
"""Ray's messages for actors that verl ended on purpose."""

Resources = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class ResourceRequest:
    """An actor or placement group that Ray has to place.

    Attributes:
        name: the actor's class, or the placement group.
        needs: resource -> amount, such as ``{"CPU": 1}``.
        placed: whether Ray has placed it.
        death_cause: why the actor died, unless verl ended it; else empty.
        pid: the actor's process; 0 if it has none.
    """

    name: str
    needs: Resources
    placed: bool
    death_cause: str = ""
    pid: int = 0


@dataclass(frozen=True, slots=True)
class ClusterView:
    """Snapshot of the cluster, and of this run's actors and placement groups.

    Attributes:
        requests: actors and placement groups of the run.
        total: resources of all live nodes.
        free: unused resources of all live nodes.
        pending: whether Ray reports requests that it cannot meet now.
        elsewhere: number of nodes on other machines.
    """

    requests: Sequence[ResourceRequest]
    total: Resources
    free: Resources
    pending: bool = True
    elsewhere: int = 0


class RayWatch:
    """Reporter of the changes between cluster views.

    Args:
        report: prints a line.
        clock: seconds.
    """

    def __init__(self, report: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self.report = report
        self.clock = clock
        self._short_since: float | None = None
        self._waiting = ""
        self._dead: set[tuple[str, int]] = set()
        self._elsewhere = 0

    def check(self, view: ClusterView) -> None:
        """Report changes that matter to the launcher."""
        if view.elsewhere != self._elsewhere:
            self._elsewhere = view.elsewhere
            self.report(f"{view.elsewhere} nodes are {REMOTE_NODES}")
        for actor in view.requests:
            if actor.death_cause and (actor.name, actor.pid) not in self._dead:
                self._dead.add((actor.name, actor.pid))
                pid = f" (pid {actor.pid})" if actor.pid else ""
                self.report(f"actor {actor.name}{pid} is gone: {actor.death_cause}")
        short = describe_shortage(view)
        if not short:
            self._short_since = None
            if self._waiting:
                self._waiting = ""
                self.report(PLACEMENT_RESUMED)
            return
        now = self.clock()
        if self._short_since is None:
            self._short_since = now
        if now - self._short_since >= SHORTAGE_S and short != self._waiting:
            self._waiting = short
            self.report(f"{PLACEMENT_WAITS}{short}")


def describe_shortage(view: ClusterView) -> str:
    """Return the missing resources in words; empty if every request is placed or will be."""
    if not view.pending:
        return ""
    for resource in ("GPU", "CPU"):
        alive = [request for request in view.requests if not request.death_cause]
        waiting = [request for request in alive if not request.placed and request.needs.get(resource)]
        short = [request for request in waiting if request.needs[resource] > view.free.get(resource, 0)]
        if not short:
            continue
        names = sorted({request.name for request in short})
        most = max(request.needs[resource] for request in short)
        total, free = view.total.get(resource, 0), view.free.get(resource, 0)
        ours = sum(request.needs.get(resource, 0) for request in alive if request.placed)
        ours = min(ours, total - free)
        text = f"asked for {most:g} {resource} for {', '.join(names)}, {free:g} of {total:g} free"
        if most > total - ours:
            return f"{text} and {ours:g} held by this run, {UNAVAILABLE}"
        return f"{text}, {total - free - ours:g} held by others"
    return ""


def read_cluster() -> ClusterView:
    """Query Ray's head node for the cluster that this process is connected to, and for its job."""
    import ray
    from ray._private.state import state
    from ray._raylet import GcsClient  # type: ignore[attr-defined]
    from ray.autoscaler.v2.sdk import get_cluster_resource_state
    from ray.core.generated import gcs_pb2

    context = ray.get_runtime_context()
    job = context.get_job_id()
    accessor = state._connect_and_get_accessor()
    actors = map(gcs_pb2.ActorTableData.FromString, accessor.get_actor_table(None, None))
    groups = map(gcs_pb2.PlacementGroupTableData.FromString, accessor.get_placement_group_table())
    requests = [_actor_request(actor) for actor in actors if actor.job_id.hex() == job]
    requests += [
        _group_request(group)
        for group in groups
        if group.creator_job_id.hex() == job and group.state != gcs_pb2.PlacementGroupTableData.REMOVED
    ]
    demand = get_cluster_resource_state(GcsClient(address=context.gcs_address))
    nodes = {node["NodeID"]: node["NodeManagerAddress"] for node in ray.nodes() if node["Alive"]}
    here = nodes.get(context.get_node_id())
    return ClusterView(
        requests,
        ray.cluster_resources(),
        ray.available_resources(),
        pending=bool(demand.pending_resource_requests or demand.pending_gang_resource_requests),
        elsewhere=sum(address != here for address in nodes.values()),
    )


def _actor_request(actor: Any) -> ResourceRequest:
    from ray.core.generated import gcs_pb2

    kind = gcs_pb2.ActorTableData
    dead = actor.state == kind.DEAD
    needs = {} if dead else dict(actor.required_resources)  # resource names of its placement group, if any
    cause = _death_cause(actor.death_cause) if dead else ""
    return ResourceRequest(actor.class_name, needs, actor.pid > 0 or actor.state == kind.ALIVE, cause, actor.pid)


def _group_request(group: Any) -> ResourceRequest:
    from ray.core.generated import gcs_pb2

    needs: dict[str, float] = {}
    for bundle in group.bundles:
        for resource, amount in bundle.unit_resources.items():
            needs[resource] = needs.get(resource, 0) + amount
    placed = group.state == gcs_pb2.PlacementGroupTableData.CREATED
    return ResourceRequest(f"the placement group {group.name or 'without a name'}", needs, placed)


def _death_cause(death: Any) -> str:
    """Return why an actor died; empty if verl ended it."""
    from ray.core.generated import common_pb2

    context = death.WhichOneof("context")
    if context is None:
        return ""
    details = getattr(death, context)
    if context == "creation_task_failure_context":
        signs = LogSigns()
        lines = details.formatted_exception_string.splitlines()
        raised = [
            sign.text for line in lines if (sign := signs.read(line)) and sign.is_exception and not sign.component_lost
        ]
        return "; then ".join(dict.fromkeys(raised)) or "its constructor failed"
    reasons = common_pb2.ActorDiedErrorContext
    if context == "actor_died_error_context" and details.reason not in (reasons.WORKER_DIED, reasons.NODE_DIED):
        return ""
    text = " ".join(details.error_message.split())
    return "" if INTENDED_DEATH.search(text) else text[:300]


@contextlib.contextmanager
def watch_ray() -> Iterator[None]:
    """Watch Ray from a thread while the block runs; afterwards Ray may be shut down safely."""
    over = threading.Event()
    thread = threading.Thread(target=_watch, args=(over,), name="permix-ray-watch", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(timeout=10.0)


def _watch(over: threading.Event) -> None:
    import ray

    watch = RayWatch(lambda line: print(f"{RAY_WATCH_PREFIX}{line}", flush=True))
    while not over.wait(INTERVAL_S):
        if not ray.is_initialized():
            continue
        try:
            watch.check(read_cluster())
        except Exception as error:  # another version of Ray, or its shutdown: the run must not end
            if ray.is_initialized():
                print(f"{RAY_WATCH_PREFIX}Ray's head node cannot be queried: {first_line(error)[:200]}", flush=True)
            return
