"""Runs of a program a second, in the sandbox and in a plain subprocess without isolation, on all cores; what is left.

    python benchmarks/sandbox_speed.py                # 400 runs each, in turns, then 1,000 in a row

The peer is ``subprocess.run`` of the same interpreter with the same flags, input and program: what is measured is what
isolation costs. The last lines compare processes, mounts, descriptors and files before and after 1,000 runs.
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
STDIN, WANTED = "1000\n", b"332833500\n"
LOT = 50


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
        for _ in range(max(1, args.runs // LOT)):  # in turns, so that both meet the same machine
            for name, run in (("plain", plain), ("isolated", isolated)):
                seconds[name].append(_time(pool, run))
        for name, lots in seconds.items():
            print(f"{name:<9} {LOT / statistics.median(lots):7.1f} runs/s   {_each(lots, args.workers):6.2f} ms a run")
        more = _each(seconds["isolated"], args.workers) - _each(seconds["plain"], args.workers)
        print(f"isolation costs {more:.2f} ms a run on one of {args.workers} workers (median lots of {LOT})")

        before = _state()
        started = time.perf_counter()
        outputs = list(pool.map(isolated, range(args.in_a_row)))
        print(f"{args.in_a_row} in a row: {args.in_a_row / (time.perf_counter() - started):.1f} runs/s")
        assert all(output == WANTED for output in outputs)
        for what, value in _state().items():
            print(f"  {what:<24} {before[what]:>8} before {value:>8} after")


def _time(pool: ThreadPoolExecutor, run: Callable[[int], bytes]) -> float:
    started = time.perf_counter()
    outputs = list(pool.map(run, range(LOT)))
    seconds = time.perf_counter() - started
    assert all(output == WANTED for output in outputs)
    return seconds


def _each(lots: list[float], workers: int) -> float:
    return 1000 * workers * statistics.median(lots) / LOT


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
