"""Whether a run's processes work, by what the system counts of them: a start that takes long is no start that hangs.

Every process of Ray's polls something, at 0.006 to 0.013 of a core while a run hangs (a dashboard agent: 0.02, and
20 KB a second). One that reads weights, imports, compiles or computes takes many times that, or waits for a disk; or,
on a machine that others use, for a core: Ray's workers are nice to others, and get little where those want much.
"""

import os
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from permix_verl.utils import processes

WINDOW_S = 10.0
"""Seconds over which work is measured."""
CORE_SHARE = 0.04
"""Of a core, in one process: above it that process works."""
BYTES_A_SECOND = 256 << 10
"""The same for what it reads and writes."""
PAGE_FAULTS = 5
"""The same for pages that a disk had to give, in a window: weights that are mapped into memory are read so."""
WANTED = 0.8
"""Share of a window for which one thread runs or waits for a core: above it, it works as well as others let it. With 20
programs to a core, one that polled came to 0.6, one that worked to 0.9 and more, at 0.04 of a core."""
TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Reading:
    """What the system has counted of a process since it began.

    Attributes:
        name: its title.
        state: the system's letter: T is stopped, D waits for a disk.
        cpu_s: of itself and of its children that have ended.
        transferred: bytes that it read and wrote.
        faults: pages that a disk had to give.
        wanted_s: by thread, seconds for which it ran or waited for a core; empty where the system does not count that.
    """

    name: str
    state: str
    cpu_s: float
    transferred: int
    faults: int
    wanted_s: Mapping[int, float]

    def worked(self, earlier: "Reading | None", seconds: float) -> bool:
        """Whether it has worked since an earlier reading, or since it began."""
        cpu_s, transferred, faults = (earlier.cpu_s, earlier.transferred, earlier.faults) if earlier else (0.0, 0, 0)
        before = earlier.wanted_s if earlier else {}
        return (
            self.cpu_s - cpu_s > CORE_SHARE * seconds
            or self.transferred - transferred > BYTES_A_SECOND * seconds
            or self.faults - faults >= PAGE_FAULTS
            or any(wanted - before.get(thread, 0.0) > WANTED * seconds for thread, wanted in self.wanted_s.items())
        )


Readings = dict[tuple[int, int], Reading]
"""By process id and time of its start."""


class ProcessActivity:
    """Watches the processes of a run on this machine.

    Args:
        read: gives the readings now.
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

    def look(self) -> bool:
        """Whether anything has worked in the last window; true until there are two readings to compare."""
        seconds = self.clock() - self._when
        if self._before is None or seconds >= self.window_s:
            now = self.read()
            if self._before is not None:
                before = self._before
                self._worked = any(reading.worked(before.get(key), seconds) for key, reading in now.items())
            self._before, self._when = now, self.clock()
        return self._worked

    def odd(self) -> list[str]:
        """Processes that were stopped, or waited for a disk, at the last reading; in words."""
        words = {"T": "is stopped", "t": "is stopped", "D": "waits for a disk"}
        return [
            f"{reading.name} (pid {pid}) {words[reading.state]}"
            for (pid, _), reading in (self._before or {}).items()
            if reading.state in words
        ]


def read_processes(token: str) -> Readings:
    """Of every process that carries the token; what ends meanwhile is left out."""
    return dict(_read(process.pid for process in processes.find_processes(token)))


def _read(pids: Iterable[int]) -> Iterable[tuple[tuple[int, int], Reading]]:
    for pid in pids:
        folder = Path(f"/proc/{pid}")
        try:
            title = folder.joinpath("cmdline").read_bytes().split(b"\0")[0].decode(errors="replace")
            name, _, rest = folder.joinpath("stat").read_text().rpartition(")")
            counted = [int(line.split(b":")[1]) for line in folder.joinpath("io").read_bytes().splitlines()]
            wanted_s = dict(_wanted(f"/proc/{pid}/task"))
        except OSError:
            continue
        fields = rest.split()
        ticks = sum(map(int, fields[11:15]))  # utime, stime, and those of children that were waited for
        yield (
            (pid, int(fields[19])),
            Reading(
                name=title if title and "/" not in title else name.partition("(")[2],
                state=fields[0],
                cpu_s=ticks / TICKS_A_SECOND,
                transferred=sum(counted[:2]) + sum(counted[4:6]),  # by calls, and by the disk itself
                faults=int(fields[9]),
                wanted_s=wanted_s,
            ),
        )


def _wanted(folder: str) -> Iterable[tuple[int, float]]:
    for thread in os.listdir(folder):
        try:
            with open(f"{folder}/{thread}/schedstat") as file:
                ran, waited, _ = file.read().split()
        except (OSError, ValueError):
            continue
        yield int(thread), (int(ran) + int(waited)) / 1e9
