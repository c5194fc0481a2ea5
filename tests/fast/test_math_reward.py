"""The reward file, loaded by path as verl loads it: verdicts, threads, hangs, death."""

import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import types
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

SOURCE = Path(__file__).resolve().parents[2] / "reward_fns" / "math_reward.py"
KEYS = {"score", "acc", "no_answer", "timeout", "error", "status", "pred", "persona", "row_id"}


def load(path: Path) -> ModuleType:
    """As verl's load_module does: from its path, never entered into sys.modules."""
    spec = importlib.util.spec_from_file_location("custom_module_1", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def reward(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A copy in an empty folder: the file stands alone."""
    module = load(Path(shutil.copy(SOURCE, tmp_path_factory.mktemp("alone"))))
    yield module
    module._stop_worker()


CASES = [
    ("so the answer is \\boxed{18}", "18", "correct"),
    ("#### 1,234", "1234", "correct"),
    ("\\boxed{\\frac{1}{2}}", "0.5", "correct"),
    ("\\boxed{72}", "48/2 = <<48/2=24>>24\n#### 72", "correct"),
    ("\\boxed{7}", "8", "wrong"),
    ("I do not know", "8", "no_answer"),
    ("", "8", "no_answer"),
    (None, "8", "no_answer"),
    ("\\boxed{7}", None, "error"),
    ("\\boxed{7}", "", "error"),
]


@pytest.mark.parametrize(("solution", "gold", "status"), CASES)
def test_every_verdict_has_the_same_keys_and_only_correct_scores(
    reward: Any, solution: str | None, gold: str | None, status: str
) -> None:
    result = reward.compute_score("gsm8k", solution, gold, {"persona": "chef", "row_id": "gsm8k/train/3"})
    assert set(result) == KEYS
    assert result["status"] == status
    assert result["score"] == result["acc"] == float(status == "correct")
    assert {key: result[key] for key in ("no_answer", "timeout", "error")} == {
        key: float(status == key) for key in ("no_answer", "timeout", "error")
    }
    assert (result["persona"], result["row_id"]) == ("chef", "gsm8k/train/3")
    assert bool(result["pred"]) == (status in ("correct", "wrong"))


def test_the_reward_is_blind_to_persona_and_data_source(reward: Any) -> None:
    for persona in ("chef", "minimalist", "no_persona"):
        for source in ("gsm8k/chef", "x", None):
            assert reward.compute_score(source, "\\boxed{18}", "18", {"persona": persona})["score"] == 1.0


def test_worker_threads_get_the_verdicts_of_the_main_thread(reward: Any) -> None:
    def statuses() -> list[str]:
        return [reward.compute_score("x", solution, gold)["status"] for solution, gold, _ in CASES]

    main = statuses()
    with ThreadPoolExecutor(4) as pool:
        threads = [pool.submit(statuses) for _ in range(4)]
        assert all(thread.result() == main for thread in threads)
    assert main == [status for _, _, status in CASES]


def test_math_verify_alone_fails_in_a_thread() -> None:
    """Negative control: the trap that the worker process is there for."""
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


def test_a_hang_is_a_timeout_and_the_next_sample_is_scored(reward: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reward, "TIME_LIMIT_S", 1.0)
    started = time.monotonic()
    result = reward.compute_score("x", "\\boxed{9^{9^{9^9}}}", "5")
    assert (result["status"], result["score"], result["timeout"]) == ("timeout", 0.0, 1.0)
    assert time.monotonic() - started < 10
    assert reward.compute_score("x", "\\boxed{5}", "5")["status"] == "correct"


def test_a_killed_worker_costs_a_retry_and_no_verdict(reward: Any) -> None:
    reward.compute_score("x", "\\boxed{5}", "5")
    os.kill(reward._worker.pid, signal.SIGKILL)
    assert reward.compute_score("x", "\\boxed{5}", "5")["status"] == "correct"


@pytest.mark.parametrize("where", ["_running_worker", "_read_line"])
def test_an_interrupted_request_does_not_answer_the_next_one(
    reward: Any, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """A reply left in the pipe would shift every later verdict by one sample."""
    reward.compute_score("x", "\\boxed{5}", "5")
    original = getattr(reward, where)

    def interrupt(*args: Any) -> Any:
        original(*args) if where == "_running_worker" else None
        raise KeyboardInterrupt

    monkeypatch.setattr(reward, where, interrupt)
    with pytest.raises(KeyboardInterrupt):
        reward.compute_score("x", "\\boxed{1}", "1")
    monkeypatch.undo()
    found = [reward.compute_score("x", f"\\boxed{{{n}}}", str(gold))["status"] for n, gold in ((1, 2), (3, 3), (3, 4))]
    assert found == ["wrong", "correct", "wrong"]


def test_an_answer_to_another_request_is_not_taken(reward: Any) -> None:
    worker = reward._running_worker()
    stray = {"id": -1, "limit": 5, "solution": "\\boxed{1}", "gold": "1"}
    os.write(worker.stdin.fileno(), json.dumps(stray).encode() + b"\n")
    assert reward.compute_score("x", "\\boxed{1}", "2")["status"] == "wrong"
    assert reward._worker is not worker


def test_two_answers_at_once_are_none(reward: Any) -> None:
    """A stray reply that comes in one piece with the awaited one; it once ended in an error of the JSON reader."""
    reader, writer = os.pipe()
    with os.fdopen(reader, "rb", 0) as stdout, os.fdopen(writer, "wb", 0) as stdin:
        stdin.write(b'{"id": -1}\n{"id": 7}\n')
        with pytest.raises(EOFError, match="a reply that nobody waits for"):
            reward._read_line(types.SimpleNamespace(stdout=stdout), time.monotonic() + 5)


def test_a_stopped_worker_cannot_block_a_long_solution(reward: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reward, "TIME_LIMIT_S", 1.0)
    os.kill(reward._running_worker().pid, signal.SIGSTOP)
    started = time.monotonic()
    assert reward.compute_score("x", "x" * 99_000, "5")["status"] == "timeout"
    assert time.monotonic() - started < 5
    assert reward.compute_score("x", "\\boxed{5}", "5")["status"] == "correct"


@pytest.mark.parametrize("solution", ["the answer is " + "9" * 5000, "the answer is \u0663"])
def test_a_failure_inside_math_verify_is_an_error_and_not_a_missing_answer(reward: Any, solution: str) -> None:
    assert reward.compute_score("x", solution, "5")["status"] == "error"


def test_odd_text_gets_a_verdict(reward: Any) -> None:
    for solution in (
        "\ud83d \\boxed{5}",
        "line\nbreaks\r\n\\boxed{5}\n",
        "\x00 \u2028 \\boxed{5}",
        "x" * 300_000 + "\\boxed{5}",
    ):
        assert reward.compute_score("x", solution, "5")["status"] == "correct"
    assert reward.compute_score("x", "\\boxed{5}", "5" * 20_000)["status"] == "error"


def test_files_beside_the_copy_do_not_shadow_its_imports(tmp_path: Path) -> None:
    module: Any = load(Path(shutil.copy(SOURCE, tmp_path)))
    (tmp_path / "math_verify.py").write_text("print('not the library')\nraise SystemExit(1)\n")
    try:
        assert module.compute_score("x", "\\boxed{5}", "5")["status"] == "correct"
    finally:
        module._stop_worker()


def test_a_hanging_worker_ends_though_its_parent_is_gone(tmp_path: Path) -> None:
    code = (
        "import importlib.util, os, sys, threading, time\n"
        "spec = importlib.util.spec_from_file_location('r', sys.argv[1]); r = importlib.util.module_from_spec(spec)\n"
        "spec.loader.exec_module(r); r.TIME_LIMIT_S = 0.5; r.compute_score('x', '\\\\boxed{5}', '5')\n"
        "print(r._worker.pid, flush=True)\n"
        "r.TIME_LIMIT_S = 1.0\n"
        "threading.Thread(target=r.compute_score, args=('x', '\\\\boxed{9^{9^{9^9}}}', '5'), daemon=True).start()\n"
        "time.sleep(0.5); os.kill(os.getpid(), 9)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(SOURCE)], stdout=subprocess.PIPE, text=True)
    worker = Path(f"/proc/{int(done.stdout)}")
    assert worker.exists(), "it should be hanging"
    deadline = time.monotonic() + 25
    while worker.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not worker.exists()


def test_a_child_forked_while_a_thread_verifies_starts_a_worker_of_its_own(reward: Any) -> None:
    reward.compute_score("x", "\\boxed{5}", "5")
    read, write = os.pipe()
    with reward._lock:  # as a verifying thread holds it; the child has no such thread to release it
        child = os.fork()
    if child == 0:
        try:
            status = reward.compute_score("x", "\\boxed{6}", "6")["status"]
            os.write(write, f"{status} {reward._worker.pid}".encode())
            reward._stop_worker()
        finally:
            os._exit(0)
    deadline = time.monotonic() + 30
    while os.waitpid(child, os.WNOHANG) == (0, 0):
        if time.monotonic() > deadline:
            os.kill(child, signal.SIGKILL)
        time.sleep(0.05)
    os.close(write)
    status, pid = os.read(read, 100).decode().split()
    assert status == "correct"
    assert int(pid) != reward._worker.pid
    assert reward.compute_score("x", "\\boxed{5}", "5")["status"] == "correct"


def test_the_worker_ends_with_its_parent(tmp_path: Path) -> None:
    code = (
        "import importlib.util, os, sys\n"
        "spec = importlib.util.spec_from_file_location('r', sys.argv[1]); r = importlib.util.module_from_spec(spec)\n"
        "spec.loader.exec_module(r); r.compute_score('x', '\\\\boxed{5}', '5')\n"
        "print(r._worker.pid, flush=True); os.kill(os.getpid(), 9)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(SOURCE)], stdout=subprocess.PIPE, text=True)
    worker = int(done.stdout)
    deadline = time.monotonic() + 10
    while Path(f"/proc/{worker}").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not Path(f"/proc/{worker}").exists()


def test_a_verifier_that_cannot_start_is_an_error_and_not_a_wrong_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module: Any = load(Path(shutil.copy(SOURCE, tmp_path)))
    monkeypatch.setattr(module.sys, "executable", "/bin/false")
    result = module.compute_score("x", "\\boxed{5}", "5")
    assert (result["status"], result["error"], result["score"]) == ("error", 1.0, 0.0)


def test_verdicts_agree_with_the_labels_of_real_gsm8k_outputs(reward: Any, shared_data: Path) -> None:
    lines = (shared_data / "verifier" / "gsm8k_outputs.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines][::6]
    wrong = [
        record
        for record in records
        if (reward.compute_score("gsm8k", record["solution"], record["gold_answer"])["score"] == 1.0)
        != (str(record["is_correct"]) == "True")
    ]
    assert len(records) == 436
    assert wrong == []


@pytest.mark.parametrize("kind", ["copied", "package"])
def test_verls_own_loader_and_reward_manager_score_from_a_worker_thread(kind: str, tmp_path: Path) -> None:
    from omegaconf import OmegaConf
    from verl.trainer.ppo.reward import get_custom_reward_fn

    path = str(shutil.copy(SOURCE, tmp_path)) if kind == "copied" else "pkg://permix_verl.reward_fns.math_reward"
    function = {"path": path, "name": "compute_score", "reward_kwargs": {}}
    score = get_custom_reward_fn(OmegaConf.create({"reward": {"custom_reward_function": function}}))
    with ThreadPoolExecutor(1) as pool:
        result = pool.submit(
            score, data_source="gsm8k", solution_str="\\boxed{18}", ground_truth="18", extra_info={"num_turns": 2}
        ).result()
    assert result["score"] == 1.0
