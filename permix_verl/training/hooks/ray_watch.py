"""What only Ray knows of a run, said in the log of verl's driver: actors without a place, and actors that are gone.

verl waits for both without a limit and without a word. A thread of the driver asks Ray's head; the launcher reads the
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
from permix_verl.training.log_signs import ELSEWHERE, GOES_ON, OURS, WAITS, LogSigns

INTERVAL_S = 3.0
SHORT_S = 10.0
"""Seconds for which something must lack a place before it is said: places change hands while a run starts."""
NEVER = "which this cluster cannot give"
"""Part of a line whose resources exist nowhere in the cluster but in this run's own hands."""
MEANT = re.compile("INTENDED|exit_actor|ray.kill|went out of scope|owner", re.IGNORECASE)
"""Ends of actors that verl wished for, in Ray's words."""

Resources = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Asked:
    """Something that Ray has to find a place for.

    Attributes:
        name: of an actor's class, or of a placement group.
        needs: what it takes away, such as ``{"CPU": 1}``.
        placed: whether it has its place.
        gone: why it has died, other than by verl's wish; else empty.
        pid: of an actor's process; 0 without one.
    """

    name: str
    needs: Resources
    placed: bool
    gone: str = ""
    pid: int = 0


@dataclass(frozen=True, slots=True)
class View:
    """The cluster at one moment; actors and groups are this run's own.

    Attributes:
        asked: actors and placement groups.
        total: resources of all nodes that are alive.
        free: of those, what nobody holds.
        pending: whether Ray itself has requests that it cannot meet now.
        elsewhere: nodes on other machines.
    """

    asked: Sequence[Asked]
    total: Resources
    free: Resources
    pending: bool = True
    elsewhere: int = 0


class RayWatch:
    """Says what is new in each view.

    Args:
        say: prints a line.
    """

    def __init__(self, say: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self.say = say
        self.clock = clock
        self._short_since: float | None = None
        self._waiting = ""
        self._gone: set[tuple[str, int]] = set()
        self._elsewhere = 0

    def look(self, view: View) -> None:
        """Say what the launcher should know of it."""
        if view.elsewhere != self._elsewhere:
            self._elsewhere = view.elsewhere
            self.say(f"{view.elsewhere} nodes are {ELSEWHERE}")
        for actor in view.asked:
            if actor.gone and (actor.name, actor.pid) not in self._gone:
                self._gone.add((actor.name, actor.pid))
                self.say(f"actor {actor.name}{f' (pid {actor.pid})' if actor.pid else ''} is gone: {actor.gone}")
        short = lacking(view)
        if not short:
            self._short_since = None
            if self._waiting:
                self._waiting = ""
                self.say(GOES_ON)
            return
        now = self.clock()
        if self._short_since is None:
            self._short_since = now
        if now - self._short_since >= SHORT_S and short != self._waiting:
            self._waiting = short
            self.say(f"{WAITS}{short}")


def lacking(view: View) -> str:
    """What is asked for and not there, in words; empty if everything has its place or will get it."""
    if not view.pending:
        return ""
    for resource in ("GPU", "CPU"):
        waiting = [one for one in view.asked if not one.placed and not one.gone and one.needs.get(resource)]
        short = [one for one in waiting if one.needs[resource] > view.free.get(resource, 0)]
        if not short:
            continue
        names = sorted({one.name for one in short})
        most = max(one.needs[resource] for one in short)
        total, free = view.total.get(resource, 0), view.free.get(resource, 0)
        ours = sum(one.needs.get(resource, 0) for one in view.asked if one.placed and not one.gone)
        ours = min(ours, total - free)
        text = f"asked for {most:g} {resource} for {', '.join(names)}, {free:g} of {total:g} free"
        if most > total - ours:
            return f"{text} and {ours:g} held by this run, {NEVER}"
        return f"{text}, {total - free - ours:g} held by others"
    return ""


def read_view() -> View:
    """Of the cluster that this process is connected to, and of its own job; Ray's head is asked."""
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
    asked = [_actor(actor) for actor in actors if actor.job_id.hex() == job]
    asked += [
        _group(group)
        for group in groups
        if group.creator_job_id.hex() == job and group.state != gcs_pb2.PlacementGroupTableData.REMOVED
    ]
    demand = get_cluster_resource_state(GcsClient(address=context.gcs_address))
    nodes = {node["NodeID"]: node["NodeManagerAddress"] for node in ray.nodes() if node["Alive"]}
    here = nodes.get(context.get_node_id())
    return View(
        asked,
        ray.cluster_resources(),
        ray.available_resources(),
        pending=bool(demand.pending_resource_requests or demand.pending_gang_resource_requests),
        elsewhere=sum(address != here for address in nodes.values()),
    )


def _actor(actor: Any) -> Asked:
    from ray.core.generated import gcs_pb2

    kind = gcs_pb2.ActorTableData
    dead = actor.state == kind.DEAD
    needs = {} if dead else dict(actor.required_resources)  # within a placement group: names of that group's own
    gone = _cause(actor.death_cause) if dead else ""
    return Asked(actor.class_name, needs, actor.pid > 0 or actor.state == kind.ALIVE, gone, actor.pid)


def _group(group: Any) -> Asked:
    from ray.core.generated import gcs_pb2

    needs: dict[str, float] = {}
    for bundle in group.bundles:
        for resource, amount in bundle.unit_resources.items():
            needs[resource] = needs.get(resource, 0) + amount
    placed = group.state == gcs_pb2.PlacementGroupTableData.CREATED
    return Asked(f"the placement group {group.name or 'without a name'}", needs, placed)


def _cause(death: Any) -> str:
    """Why an actor has died; empty where that was meant."""
    from ray.core.generated import common_pb2

    context = death.WhichOneof("context")
    if context is None:
        return ""
    details = getattr(death, context)
    if context == "creation_task_failure_context":
        signs = LogSigns()
        lines = details.formatted_exception_string.splitlines()
        raised = [sign.text for line in lines if (sign := signs.read(line)) and sign.raised and not sign.gone]
        return "; then ".join(dict.fromkeys(raised)) or "its constructor failed"
    reasons = common_pb2.ActorDiedErrorContext
    if context == "actor_died_error_context" and details.reason not in (reasons.WORKER_DIED, reasons.NODE_DIED):
        return ""
    text = " ".join(details.error_message.split())
    return "" if MEANT.search(text) else text[:300]


@contextlib.contextmanager
def watching() -> Iterator[None]:
    """Watch for the time of the block, from a thread; at its end nobody is asking Ray, which may then be shut down."""
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

    watch = RayWatch(lambda line: print(f"{OURS}{line}", flush=True))
    while not over.wait(INTERVAL_S):
        if not ray.is_initialized():
            continue
        try:
            watch.look(read_view())
        except Exception as error:  # of another version of Ray, or at its end: better a run without than none
            if ray.is_initialized():
                print(f"{OURS}Ray's head cannot be asked about places: {first_line(error)[:200]}", flush=True)
            return
