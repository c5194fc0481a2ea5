"""A folder, servers and a process for attacks (test_attacks.py), and the traces of their success."""

import os
import random
import secrets
import select
import shutil
import socket
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from .attacks import Evidence

ROOT = Path(__file__).resolve().parents[2]
FLOOD_BYTES = 8 << 20
PREFIX = "pmxattack"
"""Part of the name of everything that an attack leaves behind."""
KEYS = 1_234_560_000
"""First of the numeric IPC keys that attacks use."""

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
class Outcome:
    """Outcome of one run of an attack, plain or isolated.

    Attributes:
        killed: whether the process that started the program was killed.
    """

    output: bytes
    passed: bool = False
    outlived: bool = False
    killed: bool = False


@dataclass
class World:
    """Targets of an attack (files, secrets, servers, a process), and the traces of its success."""

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
        # The path of a socket is limited to about a hundred characters; the test's folder exceeds that.
        here = os.open(".", os.O_RDONLY)
        os.chdir(self.folder)
        self.door.bind("door")
        os.fchdir(here)
        os.close(here)
        self.abstract.listen()
        self.door.listen()
        self.bystander: subprocess.Popen[bytes] | None = None

    def start_bystander(self, user: int | None) -> None:
        """Start a process that attacks may try to kill."""
        change = f"os.setuid({user})" if user is not None else "pass"
        self.bystander = subprocess.Popen(
            [sys.executable, "-c", f"import os, time; {change}; print(flush=True); time.sleep(120)"],
            stdout=subprocess.PIPE,
        )
        assert self.bystander.stdout is not None
        self.bystander.stdout.readline()

    def fill(self, program: str) -> str:
        """Return the program with this world's values in place of ``@NAME@``."""
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
        """Return path, mode, size and mtime of all files that an attack must not change."""
        outside = [*self.folder.rglob("*"), ROOT / "permix_verl" / "sandbox" / "driver.py", Path("/dev/null")]
        matches = set()
        for path in outside:
            status = path.lstat()
            size = status.st_size if path.is_file() else 0
            changed = 0 if path.is_dir() else status.st_mtime_ns
            matches.add((str(path), status.st_mode, size, changed))
        return matches

    def traces(self, before: set[tuple[str, int, int, int]], ran: Outcome) -> set[Evidence]:
        """Return the evidence that an attack succeeded."""
        called = select.select([self.tcp, self.udp, self.abstract, self.door], [], [], 0)[0]
        seen: dict[Evidence, bool] = {
            "judged": ran.passed,
            "printed": self.token.encode() in ran.output,
            "read": self.secret.encode() in ran.output,
            "changed": self.files() != before,
            "connected": bool(called),
            "killed": ran.killed or (self.bystander is not None and self.bystander.poll() is not None),
            "survived": bool(processes_with(self.marker)),
            "outlived": ran.outlived,
            "flooded": len(ran.output) >= FLOOD_BYTES,
        }
        return {evidence for evidence, is_there in seen.items() if is_there}

    def close(self) -> None:
        for process in processes_with(self.marker):
            with suppress(psutil.Error):
                process.kill()
        if self.bystander is not None:
            self.bystander.kill()
            self.bystander.wait()
            if self.bystander.stdout:
                self.bystander.stdout.close()
        for server in (self.tcp, self.udp, self.abstract, self.door):
            server.close()
        shutil.rmtree(self.folder / "tmp", ignore_errors=True)  # some hundreds of MB


def processes_with(marker: str) -> list[psutil.Process]:
    """Return the processes with a marker in their command line."""
    matches = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.pid != os.getpid() and marker in " ".join(process.cmdline()):
                matches.append(process)
    return matches
