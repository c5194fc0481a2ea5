"""100,000 mixed completions, some hostile, some workers killed: flat memory, no surplus worker, none left over.

pytest tests/soak/test_hundred_thousand_answers.py -s
"""

import json
import random
import signal
import time
from pathlib import Path
from typing import Any

import psutil

from ..support.reward_file import load

ANSWERS = 100_000
BATCH = 2_000
HOSTILE = ["9^{9^{9}}", "(10^7)!", "\\frac{" * 300 + "1" + "}{2}" * 300, "{" * 1000 + "5" + "}" * 1000]


def test_memory_stays_flat_and_no_worker_is_left(shared_data: Path) -> None:
    module: Any = load()
    module.WORKERS, module.TIME_LIMIT_S = 2, 2.0
    lines = (shared_data / "verifier" / "chat_outputs.jsonl").read_text().splitlines()
    outputs = [(record["output"], record["gold_answer"]) for record in map(json.loads, lines)]
    expected = dict(
        zip(outputs, module.compute_score_batch([""] * len(outputs), *zip(*outputs, strict=True)), strict=True)
    )
    draw, this = random.Random(0), psutil.Process()
    workers_seen: set[int] = set()
    memory: list[tuple[float, float]] = []
    statuses: dict[str, int] = dict.fromkeys(module.STATUSES, 0)
    began, done = time.monotonic(), 0
    while done < ANSWERS:
        batch = [
            # New symbols, which use the worker's memory; hostile completions; real completions.
            (f"\\boxed{{\\sqrt{{{draw.randrange(10**6)}}} + x_{{{draw.randrange(10**4)}}}}}", "x_1")
            if (kind := draw.random()) < 0.05
            else (f"\\boxed{{{draw.choice(HOSTILE)}}}", "5")
            if kind < 0.0502
            else draw.choice(outputs)
            for _ in range(BATCH)
        ]
        results = module.compute_score_batch([""] * BATCH, *zip(*batch, strict=True))
        for pair, result in zip(batch, results, strict=True):
            statuses[result["status"]] += 1
            if pair in expected:
                assert result == expected[pair]
        done += BATCH
        workers = [worker.pid for worker in module._state.workers]
        assert len(workers) <= 2
        workers_seen.update(workers)
        resident = sum(psutil.Process(pid).memory_info().rss for pid in workers) / 2**20
        memory.append((this.memory_info().rss / 2**20, resident))
        if workers and done % 20_000 == 0:
            psutil.Process(draw.choice(workers)).send_signal(signal.SIGKILL)
        if done % 10_000 == 0:
            print(
                f"{done} answers, {done / (time.monotonic() - began):.0f}/s: here {memory[-1][0]:.0f} MB, "
                f"workers {memory[-1][1]:.0f} MB, {len(workers_seen)} workers so far, {statuses}"
            )
    module.close()
    assert not any(map(psutil.pid_exists, workers_seen))
    assert sum(statuses.values()) == ANSWERS
    assert statuses["error"] == 0
    fifth = len(memory) // 5
    assert memory[-1][0] < memory[fifth][0] + 30
    assert max(resident for _, resident in memory) < 2 * module.MEMORY_LIMIT_MB
