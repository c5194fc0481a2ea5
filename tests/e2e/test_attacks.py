"""Programs that attack the process that runs them: each succeeds under a plain runner and fails in the sandbox.

A failed attack proves nothing unless it can succeed. So each attack first runs under a plain runner in the manner of
LiveCodeBench's own, which calls the function and compares its result in the program's own process.
"""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from permix_verl.code import Cases, judge
from permix_verl.sandbox import Limits, RunResult, Sandbox

from ..support.attack_world import KEYS, PREFIX, Outcome, World, processes_with
from ..support.attacks import ATTACKS, Attack

LIMITS = Limits(cpu_s=2, wall_s=20, memory_mb=256, output_bytes=1 << 20)
SLACK_S = 20.0
"""Extra wall time for a busy machine."""


@pytest.fixture
def make_world(tmp_path: Path) -> Iterator[Callable[[str], World]]:
    worlds = []

    def make(name: str) -> World:
        worlds.append(World(tmp_path / name))
        return worlds[-1]

    yield make
    for world in worlds:
        world.close()


class WatchedSandbox(Sandbox):
    """Sandbox that keeps the result of its last run."""

    last: RunResult

    def run(self, program: str, stdin: str, limits: Limits | None = None, call: str | None = None) -> RunResult:
        self.last = super().run(program, stdin, limits, call)
        return self.last


@pytest.fixture(scope="module")
def sandbox() -> WatchedSandbox:
    return WatchedSandbox()


def unused_user() -> int:
    """Return a uid without processes, so that killing all its processes harms nobody."""
    used = {process.uids().real for process in psutil.process_iter(["uids"]) if process.info["uids"]}
    return next(number for number in range(61_000, 62_000) if number not in used)


def run_plainly(world: World, attack: Attack, program: str, user: int | None) -> Outcome:
    """Run like LiveCodeBench's runner: a child process, an alarm, and the comparison in the program's own process."""
    forever = attack.shows == "outlived"
    job = {
        "program": world.fill(program),
        "call": attack.call,
        "arguments": [7],
        "expected": world.expected,
        "secret": world.secret,
        "seconds": 1 if forever else 60,
        "user": user,
    }
    beside = world.folder.with_name(f"{world.folder.name}-runs")
    beside.mkdir(exist_ok=True)
    (beside / "job.json").write_text(json.dumps(job))
    (beside / "stdin").write_text("7\n")
    with (beside / "stdin").open() as fed, (beside / "out").open("wb") as out, (beside / "err").open("wb") as err:
        process = subprocess.Popen(
            [world.python, world.runner, beside / "job.json"],
            stdin=fed,
            stdout=out,
            stderr=err,
            cwd=world.folder / "work",
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(world.folder / "home"),
                "TMPDIR": str(world.folder / "tmp"),
                "PERMIX_ATTACK_SECRET": world.secret,
            },
            start_new_session=True,
        )
    outlived = False
    try:
        if forever:
            wait_for(lambda: b"begun" in (beside / "out").read_bytes() or process.poll() is not None)
            time.sleep(job["seconds"] + 1)  # type: ignore[operator]
            outlived = process.poll() is None
        else:
            process.wait(90)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    output = (beside / "out").read_bytes()
    last_line = output.strip().rpartition(b"\n")[2]
    passed = last_line == b'{"passed": true}' if attack.call else output.strip() == world.expected.encode()
    killed = process.returncode == -signal.SIGKILL and not outlived
    return Outcome(output + (beside / "err").read_bytes(), passed, outlived, killed)


def run_isolated(world: World, attack: Attack, program: str, sandbox: WatchedSandbox) -> Outcome:
    """Run as programs are judged, in the sandbox."""
    cases = Cases.from_ground_truth(json.dumps({"inputs": ["7"], "outputs": [world.expected], "fn_name": attack.call}))
    limits = replace(LIMITS, wall_s=6) if attack.shows == "outlived" else LIMITS
    began = time.monotonic()
    judgement = judge(world.fill(program), cases, sandbox, limits)
    lasted = time.monotonic() - began
    assert judgement.status != "error", judgement
    finished = sandbox.last
    assert lasted < limits.wall_s + SLACK_S
    assert len(finished.stdout) <= limits.output_bytes + (1 << 16)
    if attack.shows == "outlived":
        # The first process of a namespace cannot stop itself: the program continues, and ends.
        expected = "wrong" if attack.name == "a_stop_for_ever" else "timeout"
        assert judgement.status == expected, judgement
    if attack.shows == "flooded":
        assert finished.ended == "output"
    return Outcome(finished.stdout + finished.stderr.encode(), judgement.status == "correct")


def wait_for(what: Callable[[], bool], limit_s: float = 60) -> bool:
    deadline = time.monotonic() + limit_s
    while not what() and time.monotonic() < deadline:
        time.sleep(0.02)
    return what()


def check_a_correct_program(sandbox: Sandbox) -> None:
    cases = Cases.from_ground_truth(json.dumps({"inputs": ["14\n"], "outputs": ["42\n"]}))
    judgement = judge("print(int(input()) * 3)", cases, sandbox)
    assert judgement.status == "correct", judgement


def list_remains() -> dict[str, list[str]]:
    """Return what can outlive a process: mounts, files, keys, shared memory and IPC, processes."""
    places = [Path(name) for name in ("/tmp", "/var/tmp", "/dev/shm", "/dev/mqueue") if os.path.isdir(name)]
    shared = [Path(f"/proc/sysvipc/{kind}") for kind in ("shm", "msg", "sem")]
    keys = Path("/proc/keys")
    mounts = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    return {
        "mounts": sorted(place for place in mounts if place.startswith("/tmp")),
        "files": sorted(name for place in places for name in os.listdir(place) if PREFIX in name),
        "keys": [line for line in keys.read_text().splitlines() if PREFIX in line] if keys.exists() else [],
        "shared": [
            line
            for path in shared
            if path.exists()
            for line in path.read_text().splitlines()[1:]
            if KEYS <= int(line.split()[0]) < KEYS + 10_000
        ],
        "processes": [" ".join(process.cmdline()) for process in processes_with(PREFIX)],
        "children": [child.name() for child in psutil.Process().children(recursive=True)],
    }


@pytest.fixture(scope="module", autouse=True)
def _nothing_is_left_at_the_end() -> Iterator[None]:
    before = list_remains()
    yield
    assert wait_for(lambda: list_remains() == before, 20), (before, list_remains())


def parameters() -> list[object]:
    return [pytest.param(attack, id=attack.name) for attack in ATTACKS]


def test_there_are_enough_attacks_with_unique_names() -> None:
    assert len({attack.name for attack in ATTACKS}) == len(ATTACKS) >= 36


def test_no_process_survives_its_run(sandbox: WatchedSandbox) -> None:
    program = f"""
import ctypes, mmap
held = [mmap.mmap(-1, 1 << 20) for _ in range(150)]
for one in held:
    for place in range(0, len(one), mmap.PAGESIZE):
        one[place] = 1
ctypes.CDLL(None).prctl(15, b"{PREFIX}")
while True:
    pass
"""
    for _ in range(3):
        sandbox.run(program, "", replace(LIMITS, cpu_s=30, wall_s=3, memory_mb=512))
        alive = [process for process in psutil.process_iter(["name"]) if process.info["name"] == PREFIX]
        assert not alive


@pytest.mark.parametrize("attack", parameters())
def test_attack_succeeds_plainly_and_fails_in_the_sandbox(
    attack: Attack, make_world: Callable[[str], World], sandbox: WatchedSandbox
) -> None:
    programs = [attack.program, *([attack.again] if attack.again else [])]
    user = unused_user() if attack.as_nobody else None
    if attack.as_nobody and os.geteuid() != 0:
        pytest.skip("only root can become a user without other processes")

    plain = make_world("plain")
    if attack.shows == "killed":
        plain.start_bystander(user)
    before = plain.files()
    for program in programs:
        ran = run_plainly(plain, attack, program, user)
    evidence = plain.traces(before, ran)
    if attack.refusable and attack.shows not in evidence:
        pytest.skip(f"refused here anyway: {ran.output[-200:].decode(errors='replace')}")
    assert attack.shows in evidence, ran.output[-2000:]
    plain.close()

    isolated = make_world("isolated")
    if attack.shows == "killed":
        isolated.start_bystander(user)
    before = isolated.files()
    for program in programs:
        ran = run_isolated(isolated, attack, program, sandbox)
    evidence = isolated.traces(before, ran)
    check_a_correct_program(sandbox)
    assert not evidence, (evidence, ran.output[-2000:])
