"""The reward file against hostile completions: within its time and memory limits, and without losing a status."""

import asyncio
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ..support.reward_file import ASK, HANGING, SLOW, SOURCE, gone, load, status, worker_of_a_parent_that


@pytest.fixture(scope="module")
def reward() -> Iterator[Any]:
    """The reward module with two workers and a time limit of one second."""
    module: Any = load()
    module.WORKERS, module.TIME_LIMIT_S = 2, 1.0
    yield module
    module.close()
    assert not module._state.workers


MATRIX = "\\\\".join("&".join(f"x_{{{i}{j}}}" for j in range(30)) for i in range(30))
ADVERSARIAL = [
    "9^9^9^9",
    "9^{9^{9}}",
    "(10^7)!",
    "2^{10^9}",
    "\\binom{10^6}{5\\cdot10^5}",
    f"\\begin{{pmatrix}}{MATRIX}\\end{{pmatrix}}",
    "{" * 2000 + "5" + "}" * 2000,
    "\\frac{" * 500 + "1" + "}{2}" * 500,
    "1" * 90_000,
    "1e999",
    "nan",
    "\\infty",
    "\\int_0^1 x^{x^x} dx",
    "\\sum_{i=1}^{10^9} i^{i}",
    "__import__('os').system('touch marker')",
    "\\boxed{" * 3000 + "}" * 3000,
    "A: " * 20_000,
    "#### " * 20_000,
    '"answer": "' * 9_000,
    " " * 90_000 + "and \\boxed{1} " + " " * 5_000,
    "1,234" * 18_000,
    "\\text{" * 10_000,
    "\u0663" * 90_000,
]


SLOW_TO_READ = [
    "\\boxed{5 " + "a" * 60 + "?}",
    "\\boxed{18 " + "ha" * 80 + "!!}",
    "\\boxed{5" + ("\\text{a}" + " " * 20) * 6 + "?}",
    "the answer 1" + " " * 95_000 + "x",
    "\\boxed{" + "a" * 95_000 + "}",
    "#### 1. a " * 9_000 + "\n" + " " * 9_000 + "b",
    '"answer":[,' * 9_000,
    "answer is " * 9_900,
    "answer: $" + "1 " * 49_000,
    "answer is 1" + "\\)" * 49_000,
    "answer: 1" + "*" * 99_000,
    "\\boxed{1" + ",000" * 20_000 + "}",
    "answer is 5" + " a" * 240 + " 6",
    "answer is 1" + "no wait" * 60,
    "answer is not 1 but " * 4_900,
    "\\boxed{1} and " * 7_000,
    "<answer>5</answer>" * 5_500,
    "> " * 49_000 + "A:",
    "\n" * 99_000,
    "=1" * 49_000,
]


@pytest.mark.parametrize("gold", ["5", "1, 2", "x"])
def test_no_completion_blocks_the_calling_process(reward: Any, gold: str) -> None:
    """The main thread's parsing has no time limit: a slow regex would block the event loop."""
    for solution in [*SLOW_TO_READ, *ADVERSARIAL]:
        began = time.monotonic()
        reward._read(solution, gold)
        assert time.monotonic() - began < 1, solution[:50]


def test_every_adversarial_completion_stays_within_time_and_memory(reward: Any) -> None:
    over = threading.Event()
    peaks = [0]

    def watch() -> None:
        while not over.wait(0.01):
            for worker in list(reward._state.workers):
                if (peak := high_water_mb(worker.pid)) is not None:
                    peaks.append(peak)

    watcher = threading.Thread(target=watch)
    watcher.start()
    status(reward, *SLOW)
    try:
        for answer in ADVERSARIAL:
            for solution in (f"\\boxed{{{answer}}}", answer):
                started = time.monotonic()
                assert status(reward, solution) in ("wrong", "timeout", "error", "no_answer"), answer[:50]
                # A new worker may have to start first.
                assert time.monotonic() - started < reward.TIME_LIMIT_S + 1 + 2, answer[:50]
    finally:
        over.set()
        watcher.join()
    assert 0 < max(peaks) <= reward.MEMORY_LIMIT_MB
    assert status(reward, *SLOW) == "correct"


def high_water_mb(pid: int) -> int | None:
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return None
    return next((int(line.split()[1]) // 1024 for line in text.splitlines() if line.startswith("VmHWM")), None)


RAY = r"""
import importlib.util, sys
import ray

@ray.remote
class Judge:
    def __init__(self, path):
        spec = importlib.util.spec_from_file_location("custom_module_1", path)
        self.reward = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(self.reward)

    def statuses(self, cases):
        return [self.reward.compute_score("x", solution, gold)["status"] for solution, gold in cases]

    async def at_once(self, cases):
        import asyncio
        found = await asyncio.gather(*(self.reward.compute_score_async("x", *case) for case in cases))
        return [one["status"] for one in found], [worker.pid for worker in self.reward._state.workers]

ray.init(address="local", num_cpus=1, include_dashboard=False, log_to_driver=False)
judge = Judge.remote(sys.argv[1])
cases = [("\\boxed{\\sqrt{25}}", "5"), ("\\boxed{\\sqrt{24}}", "5"), ("\\boxed{5}", "5"), ("none", "5")]
assert ray.get(judge.statuses.remote(cases)) == (["correct", "wrong", "correct", "no_answer"])
statuses, workers = ray.get(judge.at_once.remote(cases))
assert statuses == ["correct", "wrong", "correct", "no_answer"]
print(*workers)
"""


def test_a_ray_actor_gets_the_same_results_and_leaves_no_worker(tmp_path: Path) -> None:
    script = tmp_path / "judges.py"
    script.write_text(RAY)
    done = subprocess.run([sys.executable, script, SOURCE], stdout=subprocess.PIPE, text=True, timeout=300)
    workers = [int(pid) for pid in done.stdout.split()]
    assert done.returncode == 0
    assert workers
    deadline = time.monotonic() + 20
    while any(map(psutil.pid_exists, workers)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(map(psutil.pid_exists, workers))


def test_64_hanging_completions_change_no_other_result_and_do_not_delay_numbers(reward: Any) -> None:
    solutions = [*[HANGING] * 64, SLOW[0], "\\boxed{\\sqrt{24}}", "\\boxed{5}", "\\boxed{6}"]
    order: list[int] = []

    async def one(n: int) -> str:
        outcome = await reward.compute_score_async("x", solutions[n], "5")
        order.append(n)
        return str(outcome["status"])

    async def gathered() -> list[str]:
        return await asyncio.gather(*map(one, range(len(solutions))))

    assert asyncio.run(gathered()) == ["timeout"] * 64 + ["correct", "wrong", "correct", "wrong"]
    assert order[:2] == [66, 67]


HANG = "threading.Thread(target=r.compute_score, args=('x', '\\\\boxed{9^{9^{9}}}', '5'), daemon=True).start()\n"


def test_a_hanging_worker_ends_after_its_parents_death() -> None:
    worker = worker_of_a_parent_that(f"r.TIME_LIMIT_S = 1.0\n{ASK}{HANG}time.sleep(0.5); os.kill(os.getpid(), 9)")
    assert psutil.pid_exists(worker), "it should be hanging"
    assert gone(worker, 25)


PIECES = st.sampled_from(
    [
        "\\boxed{",
        "}",
        "{",
        "####",
        "A: ",
        "answer is ",
        '"answer": ',
        '"',
        "$",
        "\\",
        "%",
        ",",
        ".",
        "-",
        "/",
        "5",
        "1,234",
        "\\frac{",
        "\\text{",
        " dollars",
        "\n",
        " and ",
        "</think>",
        "^",
        "\u0663",
        "\u00bd",
        "e9",
        "!",
        "x=",
        "(",
        ")",
    ]
)


@settings(max_examples=300, deadline=None, database=None, derandomize=True)
@given(st.lists(PIECES, max_size=25).map("".join), st.one_of(st.just("5"), st.lists(PIECES, max_size=6).map("".join)))
def test_any_text_gets_a_status_in_time(reward: Any, solution: str, gold: str) -> None:
    started = time.monotonic()
    result = reward.compute_score("x", solution, gold)
    assert result["status"] in reward.STATUSES
    assert result["score"] == float(result["status"] == "correct")
    assert time.monotonic() - started < reward.TIME_LIMIT_S + 3
