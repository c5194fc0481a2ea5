"""The reward file as a user has it, loaded by path and outside any package."""

import importlib.util
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import psutil

SOURCE = Path(__file__).resolve().parents[2] / "reward_fns" / "math_reward.py"

SLOW = ("\\boxed{\\sqrt{25}}", "5")
"""A completion that only a worker can judge."""
HANGING = "\\boxed{9^{9^{9}}}"


def load(path: Path = SOURCE) -> ModuleType:
    """Load the module as verl's load_module does: by path, without an entry in sys.modules."""
    spec = importlib.util.spec_from_file_location("custom_module_1", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def status(module: Any, solution: str, gold: str = "5") -> str:
    found: str = module.compute_score("x", solution, gold)["status"]
    return found


LOAD = (
    "import importlib.util, os, sys, threading, time\n"
    "spec = importlib.util.spec_from_file_location('r', sys.argv[1]); r = importlib.util.module_from_spec(spec)\n"
    "spec.loader.exec_module(r)\n"
)
ASK = "r.compute_score('x', '\\\\boxed{\\\\sqrt{25}}', '5'); print(next(iter(r._state.workers)).pid, flush=True)\n"
"""Code that has a worker judge one completion, and prints the worker's pid."""


def gone(pid: int, within_s: float) -> bool:
    deadline = time.monotonic() + within_s
    while psutil.pid_exists(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not psutil.pid_exists(pid)


def worker_of_a_parent_that(code: str) -> int:
    done = subprocess.run([sys.executable, "-c", LOAD + code, str(SOURCE)], stdout=subprocess.PIPE, text=True)
    return int(done.stdout)
