"""A launch that has failed or stands still is ended and named; one that only takes long is left alone."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from permix_verl.runs.folder import RunFolder
from permix_verl.runs.trainers import Trainer
from permix_verl.training import launch_watch, trainer_process
from permix_verl.training.guards.watchdog import CAUSE_FILE
from permix_verl.training.hooks.ray_watch import NEVER, Asked, RayWatch, View
from permix_verl.training.launch_watch import LaunchWatch
from permix_verl.training.log_signs import LogSigns, LogTail
from permix_verl.training.process_activity import ProcessActivity, Reading, Readings, read_processes
from permix_verl.training.progress import Progress
from permix_verl.utils import processes

LOGS = Path(__file__).resolve().parents[2] / "data" / "launches"
"""Logs of runs on this machine, shortened: what verl prints of its configuration, and repetitions, are left out."""


class Launch:
    """A run that is watched by a clock of its own."""

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

    def says(self, text: str) -> None:
        with self.log.open("a") as log:
            log.write(text if text.endswith("\n") else text + "\n")

    def ended(self, within_s: int) -> str | None:
        """The cause, if it is ended within so many seconds of looking once a second."""
        for _ in range(within_s):
            cause = self.watch.look()
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
def test_a_run_that_is_well_has_no_sign_of_trouble(log: Path) -> None:
    signs = LogSigns()
    assert [sign for line in log.read_text().splitlines() if (sign := signs.read(line))] == []
    assert signs.stage in ("training", "saving a checkpoint")


@pytest.mark.parametrize("log", good_logs(), ids=lambda log: log.stem)
def test_a_run_that_only_takes_long_is_left_alone(launch: Launch, log: Path) -> None:
    for line in log.read_text().splitlines()[::7]:
        launch.says(line)
        assert launch.ended(within_s=60) is None


FAILED = {
    "sync": "Worker (pid 716): AttributeError: 'WeightsMapper' object has no attribute 'get_unstacked_mapper'",
}


@pytest.mark.parametrize("name", FAILED)
@pytest.mark.parametrize(("works", "least", "most"), [(False, 20, 40), (True, 35, 55)])
def test_a_part_that_fails_ends_the_launch_within_a_minute(
    launch: Launch, name: str, works: bool, least: int, most: int
) -> None:
    launch.says("(TaskRunnerV1 pid=1) INFO:2026-11-28 10:25:19,733:all initialize finished, ready to fit")
    assert launch.ended(within_s=5) is None
    launch.works = works
    launch.says((LOGS / f"{name}.log").read_text())
    assert launch.ended(within_s=least) is None, "it may still end by itself"
    cause = launch.ended(within_s=most - least)
    assert cause is not None
    assert cause.startswith(FAILED[name])
    assert "while the first weight sync, agent loops and reward workers" in cause


RAISED = """\
(RewardLoopWorker pid=5) Traceback (most recent call last):
(RewardLoopWorker pid=5)   File "x.py", line 3, in <module>
(RewardLoopWorker pid=5)     1 / 0
(RewardLoopWorker pid=5) ZeroDivisionError: division by zero
"""


def test_an_exception_counts_only_when_nothing_moves_after_it(launch: Launch) -> None:
    launch.says(RAISED)
    assert launch.ended(within_s=90) is None, "everything still works"
    launch.works = False
    cause = launch.ended(within_s=60)
    assert cause is not None
    assert cause.startswith("RewardLoopWorker (pid 5): ZeroDivisionError: division by zero (while starting")


def test_an_exception_that_a_run_has_got_over_is_none_of_its_end(launch: Launch) -> None:
    launch.says(RAISED)
    assert launch.ended(within_s=200) is None
    launch.works = False
    cause = launch.ended(within_s=400)
    assert cause is not None
    assert cause.startswith("nothing has moved for 180 s")
    assert "raised before: RewardLoopWorker (pid 5): ZeroDivisionError" in cause


def test_what_vllm_could_not_do_while_it_trains_counts_only_when_nothing_moves(launch: Launch) -> None:
    """The engine's adapter is read at every step, and where that fails the run goes on."""
    launch.says("(TaskRunnerV1 pid=1) Training Progress:   0%|          | 0/14 [00:00<?, ?it/s]")
    launch.says((LOGS / "sync.log").read_text())
    assert launch.ended(within_s=100) is None
    launch.works = False
    assert str(launch.ended(within_s=60)).startswith(FAILED["sync"])


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
def test_a_process_that_died_without_a_word_comes_before_what_others_raise_about_it(
    launch: Launch, said: str, cause: str
) -> None:
    launch.says(said)
    assert str(launch.ended(within_s=60)).startswith(cause)


GONE = "(vLLMHttpServer pid=3) WARNING 11-28 10:38:12 [core_client.py:728] engine core exited unexpectedly"


@pytest.mark.parametrize(("steps", "ends"), [(1, True), (2, False)])
def test_a_part_that_was_gone_and_after_which_two_steps_are_done_was_needed_by_none(
    launch: Launch, steps: int, ends: bool
) -> None:
    launch.says(GONE)
    metrics = launch.metrics / "1.jsonl"
    for step in range(1, steps + 1):
        assert launch.ended(within_s=10) is None
        metrics.write_text('{"step": 1}\n' * step)
    assert (launch.ended(within_s=120) is not None) == ends


@pytest.mark.parametrize(("stall_s", "bound"), [(40.0, 180), (600.0, 600)])
def test_a_launch_in_which_nothing_moves_is_ended(tmp_path: Path, stall_s: float, bound: int) -> None:
    launch = Launch(tmp_path, stall_s)
    launch.says("(TaskRunnerV1 pid=1) INFO:2026-11-28 10:24:33,758:create worker group dict_keys(['actor_rollout'])")
    assert launch.ended(within_s=900) is None, "it loads"
    launch.works = False
    for _ in range(bound // 60 - 1):
        launch.says(f"(raylet) still waiting after {launch.now} s")  # the same, with another number
        assert launch.ended(within_s=60) is None
    cause = launch.ended(within_s=120)
    assert cause is not None
    assert f"nothing has moved for {bound} s while loading the training engine (no new line in the log" in cause
    assert "still waiting after" in cause


def test_a_new_line_is_progress(launch: Launch) -> None:
    launch.works = False
    for word in ("one", "two", "three", "four", "five"):
        launch.says(f"(WorkerDict pid=9) reading part {word}")
        assert launch.ended(within_s=150) is None
    assert launch.ended(within_s=200) is not None


def test_work_on_other_machines_is_not_seen(launch: Launch) -> None:
    launch.works = False
    launch.says("permix_verl: 1 nodes are on other machines, whose work is not seen from here")
    assert launch.ended(within_s=1700) is None
    assert "nothing has moved for 1800 s" in str(launch.ended(within_s=200))


def test_a_machine_that_slept_is_no_fault(launch: Launch) -> None:
    launch.works = False
    assert launch.ended(within_s=170) is None
    launch.now += 3600
    assert launch.ended(within_s=170) is None


SHORT = "placement waits: asked for 3 CPU for verl_group, 2 of 4 free"


def test_a_place_that_the_cluster_cannot_give_ends_the_launch_within_a_minute(tmp_path: Path) -> None:
    launch = Launch(tmp_path, remedy="ray start --num-cpus 5")
    launch.says(f"permix_verl: {SHORT} and 2 held by this run, {NEVER}")
    assert launch.ended(within_s=40) is None
    cause = launch.ended(within_s=10)
    assert cause is not None
    assert cause.startswith("placement stands still: asked for 3 CPU for verl_group, 2 of 4 free")
    assert cause.endswith("; ray start --num-cpus 5")


def test_a_place_that_others_hold_is_waited_for(launch: Launch) -> None:
    launch.says(f"permix_verl: {SHORT}, 2 held by others")
    assert launch.ended(within_s=590) is None
    launch.says("permix_verl: placement goes on")
    assert launch.ended(within_s=300) is None
    launch.says(f"permix_verl: {SHORT}, 2 held by others")
    assert "placement stands still" in str(launch.ended(within_s=610))


def test_the_tail_of_a_log_gives_whole_lines_once(tmp_path: Path) -> None:
    tail = LogTail(tmp_path / "log")
    assert tail.read() == []
    (tmp_path / "log").write_bytes(b"one\ntw")
    assert tail.read() == ["one"]
    (tmp_path / "log").write_bytes(b"one\ntwo\nthree\n")
    assert tail.read() == ["two", "three"]
    assert tail.read() == []


@pytest.fixture
def token() -> Iterator[str]:
    value = processes.new_token()
    yield value
    processes.end_processes(value, grace_s=1.0)


def run(token: str, program: str) -> subprocess.Popen[bytes]:
    environment = {processes.TOKEN_VARIABLE: token, "PATH": os.environ["PATH"]}
    process = subprocess.Popen([sys.executable, "-c", program], env=environment, stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()  # it has begun
    return process


WAITS = "import time\nprint(flush=True)\nwhile True: time.sleep(0.1)"
COMPUTES = "print(flush=True)\nwhile True: pass"
READS = "print(flush=True)\nimport time\nwhile True:\n open('/dev/zero', 'rb').read(1 << 20); time.sleep(0.2)"
CHILDREN = "import subprocess, sys\nprint(flush=True)\nwhile True: subprocess.run([sys.executable, '-c', 'pass'])"


@pytest.mark.parametrize(
    ("program", "works"), [(WAITS, False), (COMPUTES, True), (READS, True), (CHILDREN, True)], ids=lambda x: str(x)[:9]
)
def test_work_is_told_from_waiting_by_what_the_system_counts(token: str, program: str, works: bool) -> None:
    run(token, program)
    activity = ProcessActivity(lambda: read_processes(token), window_s=0.5)
    assert activity.look(), "nothing is known yet"
    time.sleep(0.6)
    activity.look()  # its own start is over
    time.sleep(1.0)
    assert activity.look() == works


@pytest.mark.parametrize(
    ("counted", "works"),
    [
        (Reading("p", "S", 0.2, 200_000, 4, {1: 4.0, 2: 4.0}), False),  # what polls while a run hangs
        (Reading("p", "S", 0.5, 0, 0, {}), True),
        (Reading("p", "D", 0.0, 3_000_000, 0, {}), True),
        (Reading("p", "D", 0.0, 0, 5, {}), True),  # weights that are mapped, from a slow disk
        (Reading("p", "R", 0.1, 0, 0, {1: 0.1, 2: 9.0}), True),  # a core is wanted, and others have it
    ],
)
def test_work_is_more_than_what_polls_and_may_be_kept_from_a_core(counted: Reading, works: bool) -> None:
    nothing = Reading("p", "S", 0.0, 0, 0, {})
    assert counted.worked(nothing, seconds=10.0) == works
    assert counted.worked(None, seconds=10.0) == works, "one that has begun since"
    assert counted.worked(counted, seconds=10.0) is False


def test_a_process_that_was_stopped_is_named(token: str) -> None:
    process = run(token, WAITS)
    process.send_signal(signal.SIGSTOP)
    time.sleep(0.2)
    activity = ProcessActivity(lambda: read_processes(token))
    activity.look()
    assert [line.endswith(f"(pid {process.pid}) is stopped") for line in activity.odd()] == [True]


HANGS = """
import time
raised = '''\\
(vLLMHttpServer pid=1) (EngineCore pid=2) ERROR 11-28 10:58:27 [core.py:1] EngineCore failed to start.
(vLLMHttpServer pid=1) (EngineCore pid=2) ERROR 11-28 10:58:27 [core.py:1] Traceback (most recent call last):
(vLLMHttpServer pid=1) (EngineCore pid=2) ERROR 11-28 10:58:27 [core.py:1]   File "x", line 1, in f
(vLLMHttpServer pid=1) (EngineCore pid=2) ERROR 11-28 10:58:27 [core.py:1] OSError: [Errno 98] Address already in use'''
print(raised, flush=True)
time.sleep(600)
"""


def test_a_trainer_that_hangs_is_ended_with_all_that_it_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(launch_watch, "GRACE_S", 2.0)
    monkeypatch.setattr(launch_watch, "BUSY_GRACE_S", 2.0)
    (tmp_path / "trainer_that_hangs.py").write_text(HANGS)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    folder = RunFolder(tmp_path / "run", Trainer("trainer_that_hangs", False, "model", ".", "data.pt"))
    for each in (folder.logs, folder.metrics, folder.checkpoints):
        each.mkdir(parents=True)
    began = time.monotonic()
    status, log = trainer_process.train(folder, [], done=0, total=3, min_agreement=0.99)
    assert time.monotonic() - began < 30
    assert status == 1
    cause = (folder.path / CAUSE_FILE).read_text()
    assert "Address already in use" in cause
    assert "(while starting; verl has waited" in cause
    assert f"ending verl: {cause}" in capsys.readouterr().err
    assert "Address already in use" in log.read_text()
    assert processes.find_processes(folder.token.read_text()) == []


CPUS = {"CPU": 4.0}


def lines_of(*views: View, seconds: float = 20.0) -> list[str]:
    said: list[str] = []
    now = 0.0
    watch = RayWatch(said.append, clock=lambda: now)
    for view in views:
        for _ in range(2):
            watch.look(view)
            now += seconds
    return said


def test_a_group_without_a_place_is_said_once_and_so_is_its_place() -> None:
    held = Asked("TransferQueueController", {"CPU": 1}, placed=True)
    asks = Asked("verl_group", {"CPU": 4, "GPU": 1}, placed=False)
    gets = Asked("verl_group", {"CPU": 3}, placed=True)
    short = View([held, asks], CPUS | {"GPU": 1.0}, {"CPU": 3.0, "GPU": 1.0})
    said = lines_of(short, short, View([held, gets], CPUS, {}))
    waits = f"placement waits: asked for 4 CPU for verl_group, 3 of 4 free and 1 held by this run, {NEVER}"
    assert said == [waits, "placement goes on"]


def test_what_others_hold_may_come_back_and_what_is_not_there_cannot() -> None:
    asks = [Asked("SimpleStorageUnit", {"CPU": 1}, placed=False)]
    assert lines_of(View(asks, CPUS, {})) == [
        "placement waits: asked for 1 CPU for SimpleStorageUnit, 0 of 4 free, 4 held by others"
    ]
    gpus = [Asked("verl_group", {"CPU": 3, "GPU": 1}, placed=False)]
    (line,) = lines_of(View(gpus, CPUS, CPUS))
    assert line == f"placement waits: asked for 1 GPU for verl_group, 0 of 0 free and 0 held by this run, {NEVER}"


@pytest.mark.parametrize(
    "view",
    [
        View([Asked("SimpleStorageUnit", {"CPU": 1}, placed=False)], CPUS, {}, pending=False),  # its process starts
        View([Asked("SimpleStorageUnit", {"CPU": 1}, placed=False)], CPUS, {"CPU": 1.0}),
        View([Asked("AgentLoopWorkerTQ", {}, placed=False)], CPUS, {}),
        View([Asked("AgentLoopWorkerTQ", {}, placed=True)], CPUS, {}),
    ],
)
def test_what_ray_will_place_is_not_said(view: View) -> None:
    assert lines_of(view, view) == []


def test_a_short_lack_is_not_said() -> None:
    asks = View([Asked("SimpleStorageUnit", {"CPU": 1}, placed=False)], CPUS, {})
    assert lines_of(asks, View([], CPUS, CPUS), seconds=4.0) == []


def test_an_actor_that_is_gone_is_said_once() -> None:
    gone = Asked("RewardLoopWorker", {}, placed=True, gone="KeyError: 'x'", pid=8)
    alive = Asked("WorkerDict", {}, placed=True, pid=9)
    assert lines_of(View([alive], CPUS, CPUS), View([alive, gone], CPUS, CPUS), View([gone], CPUS, CPUS)) == [
        "actor RewardLoopWorker (pid 8) is gone: KeyError: 'x'"
    ]
    sign = LogSigns().read("permix_verl: actor RewardLoopWorker (pid 8) is gone: KeyError: 'x'")
    assert sign is not None
    assert sign.gone


def test_the_wait_for_the_first_step_says_what_it_is_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("permix_verl.training.progress._HEARTBEAT_S", -1)
    folder = RunFolder(tmp_path)
    folder.metrics.mkdir()
    progress = Progress(folder, tmp_path / "log", total=3, min_agreement=0.99)
    progress.update("starting Ray")
    progress.update()
    assert [line.strip() for line in capsys.readouterr().err.splitlines()] == ["... 0 s, starting Ray", "... 0 s"]
