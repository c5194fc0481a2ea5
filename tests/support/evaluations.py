"""Shared helpers of the evaluation's tests: its commands, and its store read with plain json."""

import contextlib
import json
import math
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import psutil

from permix_verl import load_pool
from permix_verl.utils import processes

ROOT = Path(__file__).resolve().parents[2]
MARK = "PERMIX_EVALUATION_UNDER_TEST"
ARMS = [*load_pool("eval").keys, "no_persona"]


def command(script: str, *arguments: object) -> list[str]:
    return [sys.executable, str(ROOT / "eval" / script), *map(str, arguments)]


def done(arguments: list[str], status: int = 0) -> str:
    """Return the output of a finished command."""
    result = subprocess.run(arguments, capture_output=True, text=True, cwd=ROOT)
    assert result.returncode == status, (result.stdout + result.stderr)[-4000:]
    return result.stdout + result.stderr


def rows(folder: Path) -> list[dict[str, Any]]:
    """Read the stored samples with plain json, without a partial last line."""
    result = []
    for file in sorted((folder / "samples").glob("*.jsonl")):
        result += [json.loads(line) for line in file.read_bytes().split(b"\n")[:-1]]
    return result


def ended(processes: list[psutil.Process], limit_s: float = 20) -> list[str]:
    """Return the processes that still run after a while, and kill them by id."""
    _, left = psutil.wait_procs(processes, timeout=limit_s)
    names = []
    for process in left:
        with contextlib.suppress(psutil.Error):
            names.append(process.name())
            process.kill()
    return names


def short_problems(shared_data: Path, folder: Path, number: int) -> dict[str, Path]:
    """Write real rows that fit the lab model's context: 1024 tokens of about one character each."""
    files = {}
    for task, field in (("gsm8k", "question"), ("math500", "problem")):
        lines = (shared_data / task / "test.jsonl").read_text().splitlines()
        fitting = [line for line in lines if len(json.loads(line)[field]) < 160][:number]
        assert len(fitting) == number
        files[task] = folder / f"{task}.jsonl"
        files[task].write_text("\n".join(fitting) + "\n")
    return files


def engine_core(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.Error):
        return "EngineCore" in process.name()
    return False


def nobody(process: psutil.Process) -> bool:
    return False


def kill(
    arguments: Sequence[str],
    folder: Path,
    victim: Callable[[psutil.Process], bool],
    *,
    after_rows: float = math.inf,
    after_s: float = math.inf,
) -> tuple[int, str] | None:
    """Start the command, SIGKILL it or one of its children, and compare the store before and after.

    Args:
        folder: the results folder; the log is written beside it.
        victim: the child to kill; the command itself if it has no such child.
        after_rows, after_s: time of the kill, in added rows or in seconds.

    Returns:
        The number of rows that were added and what was killed, or None: it ended before it was killed.
    """
    kept = rows(folder)
    log = folder.parent / "log"
    began = time.monotonic()
    with log.open("wb") as sink:
        mark = processes.new_token()
        running = subprocess.Popen(arguments, stdout=sink, stderr=sink, cwd=ROOT, env=os.environ | {MARK: mark})
    while running.poll() is None and time.monotonic() - began < after_s:
        if after_rows < math.inf and len(rows(folder)) - len(kept) >= after_rows:
            break
        time.sleep(0.02)
    if running.poll() is not None:
        assert running.returncode == 0, log.read_text()[-3000:]
        return None
    children = psutil.Process(running.pid).children(recursive=True)
    victims = [child.pid for child in children if victim(child)]
    with contextlib.suppress(ProcessLookupError):
        os.kill(victims[0] if victims else running.pid, signal.SIGKILL)
    try:
        status = running.wait(60)
    except subprocess.TimeoutExpired:
        running.kill()
        raise
    words = log.read_text()[-3000:]
    if victims and len(rows(folder)) > len(kept):
        assert status == 2, words
        assert "error: vLLM's engine process died" in words.splitlines()[-1]
    else:
        assert status != 0 if victims else status == -signal.SIGKILL, words
    assert ended(processes.find_processes(mark, MARK)) == [], "something outlived the killed evaluation"
    now = {row["key"]: row for row in rows(folder)}
    assert all(now.get(row["key"]) == row for row in kept), "a row was lost, or asked again"
    return len(now) - len(kept), "engine" if victims else "evaluation"


def no_row_is_missing_or_doubled(folder: Path, samples: int) -> None:
    places = Counter((row["task"], row["persona"], row["problem"], row["run"]) for row in rows(folder))
    assert set(places.values()) == {1}
    assert len(places) == samples
    assert {place[1] for place in places} == set(ARMS)
