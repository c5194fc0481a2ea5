"""Speed of the sandbox against a plain subprocess, on all cores, and a check for leaked resources.

    python benchmarks/sandbox_speed.py                # 400 runs each, alternating, then 1,000 in a row

The baseline is ``subprocess.run`` of the same interpreter with the same flags, input and program, so the difference is
the cost of isolation. The last lines compare processes, mounts, descriptors and files before and after 1,000 runs.
"""

import argparse
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil

from permix_verl.sandbox import Limits, Sandbox
from permix_verl.sandbox.bubblewrap import python

PROGRAM = "n = int(input())\nprint(sum(i * i for i in range(n)))\n"
STDIN, EXPECTED = "1000\n", b"332833500\n"
BATCH_SIZE = 50


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--runs", type=int, default=400, help="of each kind")
    parser.add_argument("--in-a-row", type=int, default=1000)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    args = parser.parse_args()
    sandbox = Sandbox()
    limits = Limits()
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(args.workers) as pool:
        file = Path(folder) / "solution.py"
        file.write_text(PROGRAM)

        def isolated(_: int) -> bytes:
            return sandbox.run(PROGRAM, STDIN, limits).stdout

        def plain(_: int) -> bytes:
            command = [python(), "-I", "-S", "-B", str(file)]
            return subprocess.run(command, input=STDIN.encode(), capture_output=True, check=True).stdout

        seconds: dict[str, list[float]] = {"isolated": [], "plain": []}
        for _ in range(max(1, args.runs // BATCH_SIZE)):  # alternate, so that both see the same machine load
            for name, run in (("plain", plain), ("isolated", isolated)):
                seconds[name].append(_time(pool, run))
        for name, batches in seconds.items():
            rate = BATCH_SIZE / statistics.median(batches)
            print(f"{name:<9} {rate:7.1f} runs/s   {_each(batches, args.workers):6.2f} ms a run")
        more = _each(seconds["isolated"], args.workers) - _each(seconds["plain"], args.workers)
        print(f"isolation costs {more:.2f} ms a run on one of {args.workers} workers (median, batches of {BATCH_SIZE})")

        before = _state()
        started = time.perf_counter()
        outputs = list(pool.map(isolated, range(args.in_a_row)))
        print(f"{args.in_a_row} in a row: {args.in_a_row / (time.perf_counter() - started):.1f} runs/s")
        assert all(output == EXPECTED for output in outputs)
        for what, value in _state().items():
            print(f"  {what:<24} {before[what]:>8} before {value:>8} after")


def _time(pool: ThreadPoolExecutor, run: Callable[[int], bytes]) -> float:
    started = time.perf_counter()
    outputs = list(pool.map(run, range(BATCH_SIZE)))
    seconds = time.perf_counter() - started
    assert all(output == EXPECTED for output in outputs)
    return seconds


def _each(batches: list[float], workers: int) -> float:
    return 1000 * workers * statistics.median(batches) / BATCH_SIZE


def _state() -> dict[str, int]:
    children = psutil.Process().children(recursive=True)
    spaces = {os.readlink(link) for link in Path("/proc").glob("[0-9]*/ns/pid") if os.access(link, os.R_OK)}
    return {
        "processes of ours": len(children),
        "bwrap on the machine": sum(one.info["name"] == "bwrap" for one in psutil.process_iter(["name"])),
        "pid namespaces": len(spaces),
        "mounts": len(Path("/proc/self/mounts").read_text().splitlines()),
        "open descriptors": len(os.listdir("/proc/self/fd")),
        "files in the temp folder": len(os.listdir(tempfile.gettempdir())),
        "resident MiB": psutil.Process().memory_info().rss >> 20,
    }


if __name__ == "__main__":
    main()
