"""Activity of a run's processes, from the kernel's counters, which tells a slow start from a hung one.

While a run hangs, each of Ray's processes still polls, at 0.006 to 0.013 of a core (a dashboard agent: 0.02, and
20 KB/s). A process that reads weights, imports, compiles or computes uses many times that, or waits for a disk. On a
busy machine it may also wait for a core: Ray's workers run at a lower priority (nice).
"""

import os
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from permix_verl.utils import processes

WINDOW_S = 10.0
"""Length of a measurement."""
CPU_FRACTION = 0.04
"""Fraction of a core above which a process counts as working."""
IO_BYTES_PER_S = 256 << 10
"""Reads and writes above which a process counts as working."""
MAJOR_FAULTS = 5
"""Page faults served from disk in a window from which a process counts as working: it reads memory-mapped weights."""
RUNNABLE_FRACTION = 0.8
"""Fraction of a window in which one thread runs or waits for a core, above which its process counts as working. With 20
programs per core a polling process reached 0.6, a working one 0.9 and more at 0.04 of a core."""
CLOCK_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Reading:
    """The kernel's counters of a process since its start.

    Attributes:
        name: title of the process.
        state: the kernel's state letter: T is stopped, D waits for a disk.
        cpu_s: CPU time of the process and of its children that have ended.
        io_bytes: bytes read and written.
        major_faults: page faults served from disk.
        runnable_s: by thread, the time spent running or waiting for a core; empty if the kernel does not count it.
    """

    name: str
    state: str
    cpu_s: float
    io_bytes: int
    major_faults: int
    runnable_s: Mapping[int, float]

    def has_worked(self, earlier: "Reading | None", seconds: float) -> bool:
        """Return whether the process has worked since an earlier reading, or since its start."""
        before = earlier or Reading(self.name, self.state, 0.0, 0, 0, {})
        return (
            self.cpu_s - before.cpu_s > CPU_FRACTION * seconds
            or self.io_bytes - before.io_bytes > IO_BYTES_PER_S * seconds
            or self.major_faults - before.major_faults >= MAJOR_FAULTS
            or any(
                runnable - before.runnable_s.get(thread, 0.0) > RUNNABLE_FRACTION * seconds
                for thread, runnable in self.runnable_s.items()
            )
        )


Readings = dict[tuple[int, int], Reading]
"""Readings by (process id, start time)."""


class ProcessActivity:
    """Activity of a run's processes on this machine.

    Args:
        read: returns the current readings.
        window_s: see :data:`WINDOW_S`.
    """

    def __init__(
        self, read: Callable[[], Readings], window_s: float = WINDOW_S, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.read = read
        self.window_s = window_s
        self.clock = clock
        self._before: Readings | None = None
        self._when = clock()
        self._worked = True

    def is_working(self) -> bool:
        """Return whether any process worked in the last window; true until there are two readings to compare."""
        seconds = self.clock() - self._when
        if self._before is None or seconds >= self.window_s:
            now = self.read()
            if self._before is not None:
                before = self._before
                self._worked = any(reading.has_worked(before.get(key), seconds) for key, reading in now.items())
            self._before, self._when = now, self.clock()
        return self._worked

    def describe_blocked(self) -> list[str]:
        """Describe the processes that were stopped, or waited for a disk, at the last reading."""
        words = {"T": "is stopped", "t": "is stopped", "D": "waits for a disk"}
        return [
            f"{reading.name} (pid {pid}) {words[reading.state]}"
            for (pid, _), reading in (self._before or {}).items()
            if reading.state in words
        ]


def read_processes(token: str) -> Readings:
    """Read the counters of every process that carries the token, except those that end meanwhile."""
    return dict(_read(process.pid for process in processes.find_processes(token)))


def _read(pids: Iterable[int]) -> Iterable[tuple[tuple[int, int], Reading]]:
    for pid in pids:
        folder = Path(f"/proc/{pid}")
        try:
            title = folder.joinpath("cmdline").read_bytes().split(b"\0")[0].decode(errors="replace")
            name, _, rest = folder.joinpath("stat").read_text().rpartition(")")
            io_counters = [int(line.split(b":")[1]) for line in folder.joinpath("io").read_bytes().splitlines()]
            runnable_s = dict(_read_runnable_s(f"/proc/{pid}/task"))
        except OSError:
            continue
        fields = rest.split()
        ticks = sum(map(int, fields[11:15]))  # utime, stime, and those of children that were waited for
        yield (
            (pid, int(fields[19])),
            Reading(
                name=title if title and "/" not in title else name.partition("(")[2],
                state=fields[0],
                cpu_s=ticks / CLOCK_TICKS_PER_S,
                io_bytes=sum(io_counters[:2]) + sum(io_counters[4:6]),  # by system calls, and from and to the disk
                major_faults=int(fields[9]),
                runnable_s=runnable_s,
            ),
        )


def _read_runnable_s(folder: str) -> Iterable[tuple[int, float]]:
    for thread in os.listdir(folder):
        try:
            with open(f"{folder}/{thread}/schedstat") as file:
                ran, waited, _ = file.read().split()
        except (OSError, ValueError):
            continue
        yield int(thread), (int(ran) + int(waited)) / 1e9
