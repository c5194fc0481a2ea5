"""Programs that attack whoever runs them: each one succeeds where nothing holds it, and not in the sandbox.

What does not succeed plainly proves nothing, so each attack first runs under a plain runner in the manner of
LiveCodeBench's own: in a process of the same Python, functions called and compared where the program is.
"""

import json
import os
import random
import secrets
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import psutil
import pytest

from permix_verl.code import Cases, judge
from permix_verl.sandbox import Limits, RunResult, Sandbox

from ..support.attacks import ATTACKS, Attack, Evidence

ROOT = Path(__file__).resolve().parents[2]
LIMITS = Limits(cpu_s=2, wall_s=20, memory_mb=256, output_bytes=1 << 20)
FLOOD_BYTES = 8 << 20
SLACK_S = 20.0
"""For a machine that is busy with other work."""
PREFIX = "pmxattack"
"""All that an attack leaves by a name has this in it."""
KEYS = 1_234_560_000
"""Where the numbers begin by which attacks leave something."""

RUNNER = """
import json, os, signal, sys

TESTS = open(sys.argv[1])
JOB = json.load(TESTS)


def out_of_time(*_):
    raise TimeoutError


def call_and_compare(job):
    expected = json.loads(job["expected"])
    names = {"__name__": "solution"}
    exec(compile(job["program"], "solution.py", "exec"), names)
    result = getattr(names["Solution"](), job["call"])(*job["arguments"])
    print(json.dumps({"passed": result == expected}))


def main():
    child = os.fork()
    if child:
        os._exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) & 0xFF)
    if JOB["user"] is not None:
        os.setuid(JOB["user"])
    signal.signal(signal.SIGALRM, out_of_time)
    signal.alarm(JOB["seconds"])
    if JOB["call"]:
        call_and_compare(JOB)
    else:
        exec(compile(JOB["program"], "solution.py", "exec"), {"__name__": "__main__"})


main()
"""


@dataclass(frozen=True)
class Ran:
    """One run of an attack, plain or not.

    Attributes:
        killed: whoever started the program was.
    """

    output: bytes
    passed: bool = False
    outlived: bool = False
    killed: bool = False


@dataclass
class World:
    """What there is to attack: files, secrets, servers, a process; and what can be seen of an attack afterwards."""

    folder: Path
    token: str = field(default_factory=lambda: f"token-{secrets.token_hex(16)}")
    secret: str = field(default_factory=lambda: f"secret-{secrets.token_hex(16)}")
    marker: str = field(default_factory=lambda: f"{PREFIX}{secrets.token_hex(8)}")
    expected: str = field(default_factory=lambda: str(random.randrange(10**11, 10**12)))
    number: int = field(default_factory=lambda: random.randrange(KEYS, KEYS + 10_000))

    def __post_init__(self) -> None:
        for name in ("work", "home", "tmp", "bin"):
            (self.folder / name).mkdir(parents=True)
        for name in ("secret.txt", "work/secret.txt", "home/.token"):
            (self.folder / name).write_text(self.secret)
        self.python = self.folder / "bin" / "python"
        self.python.symlink_to(Path(sys.executable).resolve())
        self.runner = self.folder / "runner.py"
        self.runner.write_text(RUNNER)
        self.tcp = socket.create_server(("127.0.0.1", 0))
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind(("127.0.0.1", 0))
        self.abstract, self.door = (socket.socket(socket.AF_UNIX) for _ in range(2))
        self.abstract.bind(f"\0{self.marker}")
        # A socket's path may have some hundred letters, and those of test folders have more.
        here = os.open(".", os.O_RDONLY)
        os.chdir(self.folder)
        self.door.bind("door")
        os.fchdir(here)
        os.close(here)
        self.abstract.listen()
        self.door.listen()
        self.bystander: subprocess.Popen[bytes] | None = None

    def start_bystander(self, user: int | None) -> None:
        """A process that does no harm to anyone."""
        change = f"os.setuid({user})" if user is not None else "pass"
        self.bystander = subprocess.Popen(
            [sys.executable, "-c", f"import os, time; {change}; print(flush=True); time.sleep(120)"],
            stdout=subprocess.PIPE,
        )
        assert self.bystander.stdout is not None
        self.bystander.stdout.readline()

    def fill(self, program: str) -> str:
        """The program with the names of this world in it."""
        values = {
            "TOKEN": self.token,
            "FOLDER": str(self.folder),
            "ROOT": str(ROOT),
            "MARKER": self.marker,
            "NUMBER": str(self.number),
            "TCP": str(self.tcp.getsockname()[1]),
            "UDP": str(self.udp.getsockname()[1]),
        }
        for name, value in values.items():
            program = program.replace(f"@{name}@", value)
        return program

    def files(self) -> set[tuple[str, int, int, int]]:
        """All files that an attack should leave as they are."""
        outside = [*self.folder.rglob("*"), ROOT / "permix_verl" / "sandbox" / "driver.py", Path("/dev/null")]
        found = set()
        for path in outside:
            status = path.lstat()
            size = status.st_size if path.is_file() else 0
            changed = 0 if path.is_dir() else status.st_mtime_ns
            found.add((str(path), status.st_mode, size, changed))
        return found

    def traces(self, before: set[tuple[str, int, int, int]], ran: Ran) -> set[Evidence]:
        """All that shows that an attack succeeded."""
        called = select.select([self.tcp, self.udp, self.abstract, self.door], [], [], 0)[0]
        seen: dict[Evidence, bool] = {
            "judged": ran.passed,
            "printed": self.token.encode() in ran.output,
            "read": self.secret.encode() in ran.output,
            "changed": self.files() != before,
            "connected": bool(called),
            "killed": ran.killed or (self.bystander is not None and self.bystander.poll() is not None),
            "survived": bool(named(self.marker)),
            "outlived": ran.outlived,
            "flooded": len(ran.output) >= FLOOD_BYTES,
        }
        return {evidence for evidence, is_there in seen.items() if is_there}

    def close(self) -> None:
        for process in named(self.marker):
            with suppress(psutil.Error):
                process.kill()
        if self.bystander is not None:
            self.bystander.kill()
            self.bystander.wait()
            if self.bystander.stdout:
                self.bystander.stdout.close()
        for one in (self.tcp, self.udp, self.abstract, self.door):
            one.close()
        shutil.rmtree(self.folder / "tmp", ignore_errors=True)  # some hundred MB


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
    """Keeps what its last run brought."""

    last: RunResult

    def run(self, program: str, stdin: str, limits: Limits | None = None, call: str | None = None) -> RunResult:
        self.last = super().run(program, stdin, limits, call)
        return self.last


@pytest.fixture(scope="module")
def sandbox() -> WatchedSandbox:
    return WatchedSandbox()


def named(marker: str) -> list[psutil.Process]:
    """Processes that have a marker in their command line."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.pid != os.getpid() and marker in " ".join(process.cmdline()):
                found.append(process)
    return found


def unused_user() -> int:
    """A user without processes, whose end ends nobody else's."""
    used = {process.uids().real for process in psutil.process_iter(["uids"]) if process.info["uids"]}
    return next(number for number in range(61_000, 62_000) if number not in used)


def run_plainly(world: World, attack: Attack, program: str, user: int | None) -> Ran:
    """As LiveCodeBench's runner does it: a child process, an alarm, the comparison in the program's own process."""
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
    verdict = output.strip().rpartition(b"\n")[2]
    passed = verdict == b'{"passed": true}' if attack.call else output.strip() == world.expected.encode()
    killed = process.returncode == -signal.SIGKILL and not outlived
    return Ran(output + (beside / "err").read_bytes(), passed, outlived, killed)


def run_isolated(world: World, attack: Attack, program: str, sandbox: WatchedSandbox) -> Ran:
    """As programs are judged: the verdict, and what came out for it."""
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
        # The first process of a namespace cannot stop itself: that one goes on, and ends.
        expected = "wrong" if attack.name == "a_stop_for_ever" else "timeout"
        assert judgement.status == expected, judgement
    if attack.shows == "flooded":
        assert finished.ended == "output"
    return Ran(finished.stdout + finished.stderr.encode(), judgement.status == "correct")


def wait_for(what: Callable[[], bool], limit_s: float = 60) -> bool:
    deadline = time.monotonic() + limit_s
    while not what() and time.monotonic() < deadline:
        time.sleep(0.02)
    return what()


def check_a_correct_program(sandbox: Sandbox) -> None:
    cases = Cases.from_ground_truth(json.dumps({"inputs": ["14\n"], "outputs": ["42\n"]}))
    judgement = judge("print(int(input()) * 3)", cases, sandbox)
    assert judgement.status == "correct", judgement


def left_on_the_machine() -> dict[str, list[str]]:
    """What outlives a process: mounts, files in memory, what processes share, keys, processes."""
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
        "processes": [" ".join(process.cmdline()) for process in named(PREFIX)],
        "children": [one.name() for one in psutil.Process().children(recursive=True)],
    }


@pytest.fixture(scope="module", autouse=True)
def _nothing_is_left_at_the_end() -> Iterator[None]:
    before = left_on_the_machine()
    yield
    assert wait_for(lambda: left_on_the_machine() == before, 20), (before, left_on_the_machine())


def parameters() -> list[object]:
    return [
        pytest.param(
            one,
            id=one.name,
        )
        for one in ATTACKS
    ]


def test_it_knows_enough_attacks_and_each_by_its_own_name() -> None:
    assert len({one.name for one in ATTACKS}) == len(ATTACKS) >= 36


def test_it_is_gone_when_its_run_is_over(sandbox: WatchedSandbox) -> None:
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
def test_it_succeeds_plainly_and_fails_in_the_sandbox(
    attack: Attack, make_world: Callable[[str], World], sandbox: WatchedSandbox
) -> None:
    programs = [attack.program, *([attack.again] if attack.again else [])]
    user = unused_user() if attack.as_nobody else None
    if attack.as_nobody and os.geteuid() != 0:
        pytest.skip("only root can become someone without other processes")

    plain = make_world("plain")
    if attack.shows == "killed":
        plain.start_bystander(user)
    before = plain.files()
    for program in programs:
        ran = run_plainly(plain, attack, program, user)
    found = plain.traces(before, ran)
    if attack.refusable and attack.shows not in found:
        pytest.skip(f"refused here anyway: {ran.output[-200:].decode(errors='replace')}")
    assert attack.shows in found, ran.output[-2000:]
    plain.close()

    isolated = make_world("isolated")
    if attack.shows == "killed":
        isolated.start_bystander(user)
    before = isolated.files()
    for program in programs:
        ran = run_isolated(isolated, attack, program, sandbox)
    found = isolated.traces(before, ran)
    check_a_correct_program(sandbox)
    assert not found, (found, ran.output[-2000:])
