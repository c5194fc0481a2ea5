"""Resource limits of one run."""

import resource
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Resource limits of one run.

    Attributes:
        cpu_s: CPU time in whole seconds.
        wall_s: wall-clock time in seconds.
        memory_mb: address space in MiB.
        output_bytes: bytes on standard output, and the same again on standard error.
        file_mb: size of one file in MiB; all files of a run together have 64 MiB.
        threads: concurrent threads.
    """

    cpu_s: int = 6
    wall_s: float = 20.0
    memory_mb: int = 1024
    output_bytes: int = 16 << 20
    file_mb: int = 16
    threads: int = 64

    def rlimits(self) -> dict[str, tuple[int, int]]:
        """Return (soft, hard) limits by their names in the ``resource`` module."""
        memory, file = self.memory_mb << 20, self.file_mb << 20
        return {
            "RLIMIT_CPU": (self.cpu_s, self.cpu_s),  # soft = hard: SIGKILL instead of a catchable SIGXCPU
            "RLIMIT_AS": (memory, memory),
            "RLIMIT_FSIZE": (file, file),
            "RLIMIT_NPROC": (self.threads, self.threads),
            "RLIMIT_NOFILE": (64, 64),
            "RLIMIT_CORE": (0, 0),
            "RLIMIT_MEMLOCK": (0, 0),
            # Deep recursion through standard-library functions needs more than the default 8 MiB.
            "RLIMIT_STACK": (64 << 20, resource.RLIM_INFINITY),
        }
