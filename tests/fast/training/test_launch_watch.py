"""The launch watch ends a launch that has failed or hangs, names the cause, and leaves a slow one alone."""

from pathlib import Path

import pytest

from permix_verl.training.hooks.ray_watch import UNAVAILABLE
from permix_verl.training.launch_watch import LaunchWatch
from permix_verl.training.log_signs import LogSigns, LogTail
from permix_verl.training.process_activity import ProcessActivity, Reading, Readings

LOGS = Path(__file__).resolve().parents[2] / "data" / "launches"
"""Logs of real runs, without verl's configuration dump and repetitions."""


class Launch:
    """A run under a launch watch with a simulated clock."""

    def __init__(self, folder: Path, stall_s: float = 40.0, remedy: str = "") -> None:
        self.now = 0.0
        self.works = True
        self.log = folder / "log"
        self.metrics = folder / "metrics"
        self.metrics.mkdir()
        self.activity = ProcessActivity(self.read, clock=lambda: self.now)
        self.watch = LaunchWatch(self.log, self.metrics, self.activity, stall_s, remedy, clock=lambda: self.now)

    def read(self) -> Readings:
        return {(7, 1): Reading("ray::WorkerDict", "S", self.now if self.works else 0.01 * self.now, 0, 0, {})}

    def write_log(self, text: str) -> None:
        with self.log.open("a") as log:
            log.write(text if text.endswith("\n") else text + "\n")

    def cause_within(self, seconds: int) -> str | None:
        """Return the cause if the watch ends the run within this time, with one check per second."""
        for _ in range(seconds):
            cause = self.watch.check()
            if cause:
                return cause
            self.now += 1.0
        return None


@pytest.fixture
def launch(tmp_path: Path) -> Launch:
    return Launch(tmp_path)


def good_logs() -> list[Path]:
    return sorted(LOGS.glob("good_*.log"))


@pytest.mark.parametrize("log", good_logs(), ids=lambda log: log.stem)
def test_a_healthy_run_has_no_sign_of_failure(log: Path) -> None:
    signs = LogSigns()
    assert [sign for line in log.read_text().splitlines() if (sign := signs.read(line))] == []
    assert signs.stage in ("training", "saving a checkpoint")


@pytest.mark.parametrize("log", good_logs(), ids=lambda log: log.stem)
def test_a_slow_run_is_not_ended(launch: Launch, log: Path) -> None:
    for line in log.read_text().splitlines()[::7]:
        launch.write_log(line)
        assert launch.cause_within(60) is None


FAILED = {
    "sync": "Worker (pid 716): AttributeError: 'WeightsMapper' object has no attribute 'get_unstacked_mapper'",
}


@pytest.mark.parametrize("name", FAILED)
@pytest.mark.parametrize(("works", "least", "most"), [(False, 20, 40), (True, 35, 55)])
def test_a_lost_component_ends_the_launch_within_a_minute(
    launch: Launch, name: str, works: bool, least: int, most: int
) -> None:
    launch.write_log("(TaskRunnerV1 pid=1) INFO:2026-11-28 10:25:19,733:all initialize finished, ready to fit")
    assert launch.cause_within(5) is None
    launch.works = works
    launch.write_log((LOGS / f"{name}.log").read_text())
    assert launch.cause_within(least) is None, "it may still end by itself"
    cause = launch.cause_within(most - least)
    assert cause is not None
    assert cause.startswith(FAILED[name])
    assert "while the first weight sync, agent loops and reward workers" in cause


RAISED = """\
(RewardLoopWorker pid=5) Traceback (most recent call last):
(RewardLoopWorker pid=5)   File "x.py", line 3, in <module>
(RewardLoopWorker pid=5)     1 / 0
(RewardLoopWorker pid=5) ZeroDivisionError: division by zero
"""


def test_an_exception_is_fatal_only_without_later_progress(launch: Launch) -> None:
    launch.write_log(RAISED)
    assert launch.cause_within(90) is None, "everything still works"
    launch.works = False
    cause = launch.cause_within(60)
    assert cause is not None
    assert cause.startswith("RewardLoopWorker (pid 5): ZeroDivisionError: division by zero (while starting")


def test_an_exception_followed_by_progress_is_not_the_cause(launch: Launch) -> None:
    launch.write_log(RAISED)
    assert launch.cause_within(200) is None
    launch.works = False
    cause = launch.cause_within(400)
    assert cause is not None
    assert cause.startswith("no progress for 180 s")
    assert "raised before: RewardLoopWorker (pid 5): ZeroDivisionError" in cause


def test_a_failed_vllm_call_during_training_is_fatal_only_without_progress(launch: Launch) -> None:
    """The guard reads the engine's adapter at every step; if that fails, the run continues."""
    launch.write_log("(TaskRunnerV1 pid=1) Training Progress:   0%|          | 0/14 [00:00<?, ?it/s]")
    launch.write_log((LOGS / "sync.log").read_text())
    assert launch.cause_within(100) is None
    launch.works = False
    assert str(launch.cause_within(60)).startswith(FAILED["sync"])


DIED = """\
(vLLMHttpServer pid=7) (EngineCore pid=8) ERROR 11-28 12:00:42 [x.py:311] Worker proc VllmWorker-0 died unexpectedly.
(vLLMHttpServer pid=7) (EngineCore pid=8) ERROR 11-28 12:00:42 [core.py:1581] Traceback (most recent call last):
(vLLMHttpServer pid=7) (EngineCore pid=8) ERROR 11-28 12:00:42 [core.py:1581]   File "y.py", line 1
(vLLMHttpServer pid=7) (EngineCore pid=8) ERROR 11-28 12:00:42 [core.py:1581] RuntimeError: cancelled
"""
NAMED = """\
(raylet) A worker died or was killed while executing a task by an unexpected system error. Worker PID: 428
permix_verl: actor SimpleStorageUnit (pid 428) is gone: The actor is dead because its worker process has died.
"""


@pytest.mark.parametrize(
    ("said", "cause"),
    [
        (DIED, "EngineCore (pid 8): Worker proc VllmWorker-0 died unexpectedly. (while"),
        (NAMED, "actor SimpleStorageUnit (pid 428) is gone: The actor is dead because its worker process has died. ("),
    ],
)
def test_a_silent_death_is_named_before_the_exceptions_about_it(launch: Launch, said: str, cause: str) -> None:
    launch.write_log(said)
    assert str(launch.cause_within(60)).startswith(cause)


GONE = "(vLLMHttpServer pid=3) WARNING 11-28 10:38:12 [core_client.py:728] engine core exited unexpectedly"


@pytest.mark.parametrize(("steps", "ends"), [(1, True), (2, False)])
def test_a_lost_component_is_forgiven_after_two_steps(launch: Launch, steps: int, ends: bool) -> None:
    launch.write_log(GONE)
    metrics = launch.metrics / "1.jsonl"
    for step in range(1, steps + 1):
        assert launch.cause_within(10) is None
        metrics.write_text('{"step": 1}\n' * step)
    assert (launch.cause_within(120) is not None) == ends


@pytest.mark.parametrize(("stall_s", "bound"), [(40.0, 180), (600.0, 600)])
def test_a_launch_without_progress_is_ended(tmp_path: Path, stall_s: float, bound: int) -> None:
    launch = Launch(tmp_path, stall_s)
    launch.write_log(
        "(TaskRunnerV1 pid=1) INFO:2026-11-28 10:24:33,758:create worker group dict_keys(['actor_rollout'])"
    )
    assert launch.cause_within(900) is None, "it loads"
    launch.works = False
    for _ in range(bound // 60 - 1):
        launch.write_log(f"(raylet) still waiting after {launch.now} s")  # a repeated line with another number
        assert launch.cause_within(60) is None
    cause = launch.cause_within(120)
    assert cause is not None
    assert f"no progress for {bound} s while loading the training engine (no new line in the log" in cause
    assert "still waiting after" in cause


def test_a_new_line_is_progress(launch: Launch) -> None:
    launch.works = False
    for word in ("one", "two", "three", "four", "five"):
        launch.write_log(f"(WorkerDict pid=9) reading part {word}")
        assert launch.cause_within(150) is None
    assert launch.cause_within(200) is not None


def test_remote_nodes_get_a_longer_limit(launch: Launch) -> None:
    launch.works = False
    launch.write_log("permix_verl: 1 nodes are on other machines, whose work is not seen from here")
    assert launch.cause_within(1700) is None
    assert "no progress for 1800 s" in str(launch.cause_within(200))


def test_a_machine_that_slept_causes_no_failure(launch: Launch) -> None:
    launch.works = False
    assert launch.cause_within(170) is None
    launch.now += 3600
    assert launch.cause_within(170) is None


SHORT = "placement waits: asked for 3 CPU for verl_group, 2 of 4 free"


def test_an_unsatisfiable_placement_ends_the_launch_within_a_minute(tmp_path: Path) -> None:
    launch = Launch(tmp_path, remedy="ray start --num-cpus 5")
    launch.write_log(f"permix_verl: {SHORT} and 2 held by this run, {UNAVAILABLE}")
    assert launch.cause_within(40) is None
    cause = launch.cause_within(10)
    assert cause is not None
    assert cause.startswith("placement is stuck: asked for 3 CPU for verl_group, 2 of 4 free")
    assert cause.endswith("; ray start --num-cpus 5")


def test_a_placement_waits_longer_for_resources_that_others_hold(launch: Launch) -> None:
    launch.write_log(f"permix_verl: {SHORT}, 2 held by others")
    assert launch.cause_within(590) is None
    launch.write_log("permix_verl: placement goes on")
    assert launch.cause_within(300) is None
    launch.write_log(f"permix_verl: {SHORT}, 2 held by others")
    assert "placement is stuck" in str(launch.cause_within(610))


def test_the_log_tail_returns_complete_lines_once(tmp_path: Path) -> None:
    tail = LogTail(tmp_path / "log")
    assert tail.read() == []
    (tmp_path / "log").write_bytes(b"one\ntw")
    assert tail.read() == ["one"]
    (tmp_path / "log").write_bytes(b"one\ntwo\nthree\n")
    assert tail.read() == ["two", "three"]
    assert tail.read() == []
