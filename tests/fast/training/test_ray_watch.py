"""The Ray watch: placements that wait and actors that died, each reported once."""

import pytest

from permix_verl.training.hooks.ray_watch import UNAVAILABLE, ClusterView, RayWatch, ResourceRequest
from permix_verl.training.log_signs import LogSigns

CPUS = {"CPU": 4.0}


def lines_of(*views: ClusterView, seconds: float = 20.0) -> list[str]:
    lines: list[str] = []
    now = 0.0
    watch = RayWatch(lines.append, clock=lambda: now)
    for view in views:
        for _ in range(2):
            watch.check(view)
            now += seconds
    return lines


def test_a_waiting_placement_group_and_its_placement_are_reported_once() -> None:
    held = ResourceRequest("TransferQueueController", {"CPU": 1}, placed=True)
    asks = ResourceRequest("verl_group", {"CPU": 4, "GPU": 1}, placed=False)
    gets = ResourceRequest("verl_group", {"CPU": 3}, placed=True)
    short = ClusterView([held, asks], CPUS | {"GPU": 1.0}, {"CPU": 3.0, "GPU": 1.0})
    lines = lines_of(short, short, ClusterView([held, gets], CPUS, {}))
    waits = f"placement waits: asked for 4 CPU for verl_group, 3 of 4 free and 1 held by this run, {UNAVAILABLE}"
    assert lines == [waits, "placement goes on"]


def test_held_resources_are_told_from_missing_ones() -> None:
    asks = [ResourceRequest("SimpleStorageUnit", {"CPU": 1}, placed=False)]
    assert lines_of(ClusterView(asks, CPUS, {})) == [
        "placement waits: asked for 1 CPU for SimpleStorageUnit, 0 of 4 free, 4 held by others"
    ]
    gpus = [ResourceRequest("verl_group", {"CPU": 3, "GPU": 1}, placed=False)]
    (line,) = lines_of(ClusterView(gpus, CPUS, CPUS))
    assert line == f"placement waits: asked for 1 GPU for verl_group, 0 of 0 free and 0 held by this run, {UNAVAILABLE}"


@pytest.mark.parametrize(
    "view",
    [
        ClusterView(
            [ResourceRequest("SimpleStorageUnit", {"CPU": 1}, placed=False)], CPUS, {}, pending=False
        ),  # the actor's process is starting
        ClusterView([ResourceRequest("SimpleStorageUnit", {"CPU": 1}, placed=False)], CPUS, {"CPU": 1.0}),
        ClusterView([ResourceRequest("AgentLoopWorkerTQ", {}, placed=False)], CPUS, {}),
        ClusterView([ResourceRequest("AgentLoopWorkerTQ", {}, placed=True)], CPUS, {}),
    ],
)
def test_placements_that_ray_will_make_are_not_reported(view: ClusterView) -> None:
    assert lines_of(view, view) == []


def test_a_short_wait_is_not_reported() -> None:
    asks = ClusterView([ResourceRequest("SimpleStorageUnit", {"CPU": 1}, placed=False)], CPUS, {})
    assert lines_of(asks, ClusterView([], CPUS, CPUS), seconds=4.0) == []


def test_a_lost_actor_is_reported_once() -> None:
    gone = ResourceRequest("RewardLoopWorker", {}, placed=True, death_cause="KeyError: 'x'", pid=8)
    alive = ResourceRequest("WorkerDict", {}, placed=True, pid=9)
    assert lines_of(
        ClusterView([alive], CPUS, CPUS), ClusterView([alive, gone], CPUS, CPUS), ClusterView([gone], CPUS, CPUS)
    ) == ["actor RewardLoopWorker (pid 8) is gone: KeyError: 'x'"]
    sign = LogSigns().read("permix_verl: actor RewardLoopWorker (pid 8) is gone: KeyError: 'x'")
    assert sign is not None
    assert sign.component_lost
