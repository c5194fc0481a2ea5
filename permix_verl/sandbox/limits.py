"""What one run may use up."""

import resource
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Of one run.

    Attributes:
        cpu_s: seconds of processor time, whole ones.
        wall_s: seconds from start to end.
        memory_mb: address space, in MiB.
        output_bytes: of what is written to standard output, and as much to standard error.
        file_mb: of one file, in MiB; the files of a run together have 64.
        threads: at a time.
    """

    cpu_s: int = 6
    wall_s: float = 20.0
    memory_mb: int = 1024
    output_bytes: int = 16 << 20
    file_mb: int = 16
    threads: int = 64

    def of_process(self) -> dict[str, tuple[int, int]]:
        """Soft and hard limits of the process, by their names in ``resource``."""
        memory, file = self.memory_mb << 20, self.file_mb << 20
        return {
            "RLIMIT_CPU": (self.cpu_s, self.cpu_s),  # no signal that can be caught
            "RLIMIT_AS": (memory, memory),
            "RLIMIT_FSIZE": (file, file),
            "RLIMIT_NPROC": (self.threads, self.threads),
            "RLIMIT_NOFILE": (64, 64),
            "RLIMIT_CORE": (0, 0),
            "RLIMIT_MEMLOCK": (0, 0),
            # Deep recursion through functions of the standard library needs more than the usual 8 MiB.
            "RLIMIT_STACK": (64 << 20, resource.RLIM_INFINITY),
        }
