"""The reward file's worker processes: threads, forks, hangs, memory, death."""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import types
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cloudpickle
import pytest

from ..support.reward_file import ASK, HANGING, LOAD, SLOW, SOURCE, gone, load, status, worker_of_a_parent_that

CASES = [
    (*SLOW, "correct"),
    ("\\boxed{\\sqrt{24}}", "5", "wrong"),
    ("\\boxed{5}", "5", "correct"),
    ("", "5", "no_answer"),
]


@pytest.fixture
def reward() -> Iterator[Any]:
    """The reward module with at most two workers."""
    module: Any = load()
    module.WORKERS = 2
    yield module
    module.close()
    assert not module._state.workers


def test_only_completions_other_than_plain_numbers_start_a_worker(reward: Any) -> None:
    assert status(reward, "\\boxed{5}") == "correct"
    assert not reward._state.workers
    assert status(reward, *SLOW) == "correct"
    assert len(reward._state.workers) == 1


def test_threads_batch_and_event_loop_get_the_results_of_the_main_thread(reward: Any) -> None:
    solutions, golds, expected = zip(*CASES, strict=True)
    with ThreadPoolExecutor(4) as pool:
        threads = [pool.submit(lambda: [status(reward, s, g) for s, g, _ in CASES]) for _ in range(4)]
        assert all(thread.result() == list(expected) for thread in threads)
    batch = reward.compute_score_batch(["x"] * len(CASES), solutions, golds, [{"row_id": str(n)} for n in range(4)])
    assert [result["status"] for result in batch] == list(expected)
    assert [result["row_id"] for result in batch] == ["0", "1", "2", "3"]

    async def gathered() -> list[dict[str, Any]]:
        return await asyncio.gather(*(reward.compute_score_async("x", s, g, {"persona": "chef"}) for s, g, _ in CASES))

    assert asyncio.run(gathered()) == [reward.compute_score("x", s, g, {"persona": "chef"}) for s, g, _ in CASES]


def test_math_verify_alone_fails_in_a_thread() -> None:
    """Negative control: math-verify needs the main thread, which is why the reward has worker processes."""
    from math_verify import parse

    caught: list[BaseException] = []

    def call() -> None:
        try:
            parse("\\boxed{18}")
        except ValueError as error:
            caught.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    thread.join()
    assert caught


def test_trls_batch_signature_returns_none_for_errors_and_logs_their_rates(reward: Any) -> None:
    reward.TIME_LIMIT_S = 2.0
    logged: dict[str, float] = {}
    completions = [[{"role": "assistant", "content": text}] for text in (SLOW[0], "\\boxed{4}", HANGING, "\\boxed{x}")]
    columns = {"solution": ["5", "5", "5", ""], "prompts": [], "trainer_state": None}
    assert reward.accuracy_reward(completions=completions, log_metric=logged.__setitem__, **columns) == [1, 0, 0, None]
    assert logged == {"math_reward/timeout_rate": 0.25, "math_reward/error_rate": 0.25}
    assert reward.accuracy_reward(completions=["\\boxed{5}"], answer=["5"]) == [1.0]
    parts = [{"role": "assistant", "content": [{"type": "text", "text": "\\boxed{5}"}]}]
    assert reward.accuracy_reward(completions=[parts], answer=["5"]) == [1.0]
    with pytest.raises(ValueError, match="a column named solution, answer or ground_truth"):
        reward.accuracy_reward(completions=["\\boxed{5}"])
    with pytest.raises(ValueError, match="1 solutions and 2 golds"):
        reward.accuracy_reward(completions=["\\boxed{5}"], answer=["5", "6"])


def test_a_worker_cannot_exceed_its_memory_limit(reward: Any) -> None:
    """math-verify swallows its MemoryError and reports a mismatch."""
    reward.MEMORY_LIMIT_MB, reward.TIME_LIMIT_S = 150, 10.0
    assert status(reward, "\\boxed{2^{10^9}}") in ("wrong", "error")
    assert status(reward, *SLOW) == "correct"


def test_a_worker_that_has_grown_is_replaced(reward: Any) -> None:
    reward.MEMORY_LIMIT_MB = 120  # half of it is less than a worker's initial memory
    pids = set()
    for _ in range(3):
        assert status(reward, *SLOW) == "correct"
        pids.add(next(reward._state.request_ids))
        assert not reward._state.workers
    assert len(pids) == 3


def test_a_killed_worker_costs_a_retry_and_no_result(reward: Any) -> None:
    for _ in range(3):
        assert status(reward, *SLOW) == "correct"
        (worker,) = reward._state.workers
        os.kill(worker.pid, signal.SIGKILL)
    assert status(reward, *SLOW) == "correct"


def test_a_worker_killed_at_work_costs_a_retry_and_no_result(reward: Any) -> None:
    reward.TIME_LIMIT_S = 5.0
    status(reward, *SLOW)
    (worker,) = reward._state.workers
    os.kill(worker.pid, signal.SIGSTOP)  # so that it is certainly at work
    threading.Timer(0.3, os.kill, (worker.pid, signal.SIGKILL)).start()
    assert status(reward, *SLOW) == "correct"
    assert reward._state.workers.isdisjoint({worker})


def test_a_worker_that_always_dies_is_an_error(reward: Any, capfd: pytest.CaptureFixture[str]) -> None:
    status(reward, *SLOW)
    reward._read_line = lambda *_: (_ for _ in ()).throw(EOFError("dead"))
    assert [status(reward, *SLOW) for _ in range(5)] == ["error"] * 5
    messages = [line for line in capfd.readouterr().err.splitlines() if "failed twice" in line]
    assert [line.rpartition("(error ")[2] for line in messages] == [f"{n} of this process)" for n in (1, 2, 4)]


def test_an_interrupted_wait_does_not_answer_the_next_one(reward: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    status(reward, *SLOW)

    def interrupt(*_: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(reward.concurrent.futures.Future, "result", interrupt)
    with pytest.raises(KeyboardInterrupt):
        status(reward, "\\boxed{\\sqrt{1}}", "1")
    monkeypatch.undo()
    outcome = [status(reward, f"\\boxed{{\\sqrt{{{n}}}}}", gold) for n, gold in ((1, "2"), (9, "3"), (9, "4"))]
    assert outcome == ["wrong", "correct", "wrong"]


def test_a_reply_to_another_request_is_ignored(reward: Any) -> None:
    reward.TIME_LIMIT_S = 5.0
    status(reward, *SLOW)
    (worker,) = reward._state.workers
    stray = {"id": -1, "limit": 5, "kind": "box", "answer": "\\sqrt{1}", "text": "", "gold": "1"}
    os.write(worker.stdin.fileno(), json.dumps(stray).encode() + b"\n")
    assert status(reward, "\\boxed{\\sqrt{1}}", "2") == "wrong"
    assert worker not in reward._state.workers


def test_two_replies_at_once_are_refused(reward: Any) -> None:
    """A stray reply in the same read as the awaited one once ended in a JSON error."""
    reader, writer = os.pipe()
    with os.fdopen(reader, "rb", 0) as stdout, os.fdopen(writer, "wb", 0) as stdin:
        stdin.write(b'{"id": -1}\n{"id": 7}\n')
        with pytest.raises(EOFError, match="a reply that nobody waits for"):
            reward._read_line(types.SimpleNamespace(stdout=stdout), time.monotonic() + 5)


LONG = f"\\boxed{{{'+'.join(['x'] * 40_000)}}}"
"""A completion larger than a pipe's buffer."""


def test_a_stopped_worker_cannot_block_a_long_solution(reward: Any) -> None:
    status(reward, *SLOW)
    (worker,) = reward._state.workers
    reward.WALL_LIMIT_S = 1.0
    os.kill(worker.pid, signal.SIGSTOP)
    started = time.monotonic()
    assert status(reward, LONG) == "timeout"
    assert time.monotonic() - started < 3
    reward.WALL_LIMIT_S = 60.0
    assert status(reward, *SLOW) == "correct"


def status_after_stall(reward: Any, seconds: float) -> str:
    """Return the status from a worker that gets no CPU time for a while."""
    status(reward, *SLOW)
    (worker,) = reward._state.workers
    os.kill(worker.pid, signal.SIGSTOP)
    threading.Timer(seconds, os.kill, (worker.pid, signal.SIGCONT)).start()
    return status(reward, "\\boxed{\\sqrt{36}}", "6")


def test_a_stalled_machine_costs_no_result(reward: Any) -> None:
    """The limit is CPU time."""
    reward.TIME_LIMIT_S = 0.5
    assert status_after_stall(reward, 1.5) == "correct"


def test_a_wall_clock_limit_would_cost_the_result(reward: Any) -> None:
    """Negative control: a wall-clock limit."""
    reward.TIME_LIMIT_S = reward.WALL_LIMIT_S = 0.5
    assert status_after_stall(reward, 1.5) == "timeout"


def test_exceeding_the_cpu_time_is_a_timeout_and_the_worker_is_replaced(reward: Any) -> None:
    reward.TIME_LIMIT_S = 0.5
    status(reward, *SLOW)
    (worker,) = reward._state.workers
    assert status(reward, HANGING) == "timeout"
    assert worker.returncode == -signal.SIGPROF
    assert status(reward, *SLOW) == "correct"


def test_a_thousand_open_files_do_no_harm(reward: Any) -> None:
    """select() fails on descriptors above 1023, and a trainer's process has many."""
    files = [os.open(os.devnull, os.O_RDONLY) for _ in range(1100)]
    try:
        assert status(reward, *SLOW) == "correct"
        assert max(worker.stdout.fileno() for worker in reward._state.workers) > 1023
    finally:
        for file in files:
            os.close(file)


def test_files_beside_a_copy_do_not_shadow_its_imports(tmp_path: Path) -> None:
    module: Any = load(Path(shutil.copy(SOURCE, tmp_path)))
    (tmp_path / "math_verify.py").write_text("print('not the library')\nraise SystemExit(1)\n")
    try:
        assert status(module, *SLOW) == "correct"
    finally:
        module.close()


def test_a_worker_ends_with_its_parent_however_that_ends() -> None:
    assert gone(worker_of_a_parent_that(ASK), 5)
    assert gone(worker_of_a_parent_that(ASK + "os.kill(os.getpid(), 9)"), 5)


def test_a_terminals_interrupt_leaves_the_worker_silent_and_alive(
    reward: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    status(reward, *SLOW)
    (worker,) = reward._state.workers
    os.kill(worker.pid, signal.SIGINT)
    assert status(reward, *SLOW) == "correct"
    assert reward._state.workers == {worker}
    assert capfd.readouterr().err == ""


INTERRUPTED = """
import signal

def interrupt():
    while not r._state.workers:
        time.sleep(0.001)
    (worker,) = r._state.workers
    caught = lambda: next(line for line in open(f"/proc/{worker.pid}/status") if line.startswith("SigCgt"))
    while not int(caught().split()[1], 16) & 1 << signal.SIGINT - 1:  # its interpreter has not started
        time.sleep(0.001)
    os.killpg(0, signal.SIGINT)

threading.Thread(target=interrupt).start()
try:
    r.compute_score("x", "\\\\boxed{\\\\sqrt{25}}", "5")
except KeyboardInterrupt:
    print(next(iter(r._state.workers)).pid, flush=True)
"""
"""Ctrl-C of a terminal, which signals all processes, while a worker is starting."""


@pytest.mark.parametrize("masked", [True, False])
def test_a_terminals_interrupt_leaves_a_worker_that_is_starting_silent(masked: bool) -> None:
    unmasked = "" if masked else "r._leave_interrupts = lambda: None\n"
    command = [sys.executable, "-c", LOAD + unmasked + INTERRUPTED, str(SOURCE)]
    done = subprocess.run(command, capture_output=True, text=True, start_new_session=True)
    assert gone(int(done.stdout), 5)
    assert ("KeyboardInterrupt" in done.stderr) != masked, "without the mask it would be seen"
    assert (done.stderr == "") == masked


def test_a_child_forked_while_threads_verify_has_workers_of_its_own(reward: Any) -> None:
    status(reward, *SLOW)
    (before,) = reward._state.workers
    read, write = os.pipe()
    with reward._state.lock:  # held as by a starting thread, which the child lacks
        child = os.fork()
    if child == 0:
        try:
            outcome = status(reward, *SLOW)
            os.write(write, f"{outcome} {next(iter(reward._state.workers)).pid}".encode())
            reward.close()
        finally:
            os._exit(0)
    deadline = time.monotonic() + 30
    while os.waitpid(child, os.WNOHANG) == (0, 0):
        if time.monotonic() > deadline:
            os.kill(child, signal.SIGKILL)
        time.sleep(0.05)
    os.close(write)
    outcome, pid = os.read(read, 100).decode().split()
    assert outcome == "correct"
    assert int(pid) != before.pid
    assert status(reward, *SLOW) == "correct"
    assert reward._state.workers == {before}


def test_a_forked_child_does_not_keep_its_parents_workers_alive() -> None:
    code = f"{ASK}if os.fork() == 0:\n    os.close(1); time.sleep(6); os._exit(0)\nos.kill(os.getpid(), 9)"
    assert gone(worker_of_a_parent_that(code), 3)


def test_a_spawned_process_gets_the_same_results(tmp_path: Path) -> None:
    script = tmp_path / "spawns.py"
    script.write_text(
        "import importlib.util, multiprocessing, sys\n"
        "def judge(path, cases):\n"
        "    spec = importlib.util.spec_from_file_location('r', path); r = importlib.util.module_from_spec(spec)\n"
        "    spec.loader.exec_module(r)\n"
        "    return [r.compute_score('x', solution, gold)['status'] for solution, gold in cases]\n"
        "if __name__ == '__main__':\n"
        f"    with multiprocessing.get_context('spawn').Pool(1) as pool:\n"
        f"        print(*pool.apply(judge, (sys.argv[1], {[case[:2] for case in CASES]!r})))\n"
    )
    done = subprocess.run([sys.executable, str(script), str(SOURCE)], stdout=subprocess.PIPE, text=True, timeout=60)
    assert done.stdout.split() == [expected for _, _, expected in CASES]


def test_a_function_pickled_by_value_has_workers_of_its_own(reward: Any) -> None:
    """Ray pickles a function of an unimportable file by value, as in verl's remote reward manager."""
    assert status(reward, *SLOW) == "correct"
    shipped = cloudpickle.loads(cloudpickle.dumps(reward.compute_score))
    try:
        assert shipped("x", *SLOW)["status"] == "correct"
        assert shipped.__globals__["_state"] is not reward._state
        assert reward._state.workers.isdisjoint(shipped.__globals__["_state"].workers)
    finally:
        shipped.__globals__["_stop"](*shipped.__globals__["_state"].workers)


def test_queued_requests_do_not_delay_the_end_of_the_process() -> None:
    code = (
        "r.TIME_LIMIT_S, r.WORKERS = 1.0, 1\n"
        f"{ASK}"
        "ask = lambda: r.compute_score('x', '\\\\boxed{9^{9^{9}}}', '5')\n"
        "for _ in range(8): threading.Thread(target=ask, daemon=True).start()\n"
        "time.sleep(0.3)"
    )
    began = time.monotonic()
    worker_of_a_parent_that(code)
    assert time.monotonic() - began < 6


def test_a_deep_expression_is_judged(reward: Any) -> None:
    reward.TIME_LIMIT_S = 10.0
    assert status(reward, "\\boxed{" + "+".join("1" * 700) + "}", "700") == "correct"


def test_a_failure_in_the_caller_is_an_error(reward: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reward.sys, "executable", None)
    assert status(reward, *SLOW) == "error"


def test_a_verifier_that_cannot_start_is_an_error_and_not_a_wrong_answer(
    reward: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reward.sys, "executable", "/bin/false")
    result = reward.compute_score("x", *SLOW)
    assert (result["status"], result["error"], result["score"]) == ("error", 1.0, 0.0)
    assert status(reward, "\\boxed{5}") == "correct"
