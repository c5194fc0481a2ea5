"""``permix doctor --explain``: the cause in logs of failures that were provoked, nothing in logs of good runs."""

import json
import re
import sys
from io import StringIO
from pathlib import Path

import pytest

from permix_verl.cli.main import run
from permix_verl.errors import UserError
from permix_verl.explain.choosing import explain
from permix_verl.explain.signatures import HERE, REPOSITORIES, SIGNATURES

from ...support.explain_table import LOGS, PAGE, causes, page_with_table

CAUSES = causes()
GOOD = sorted(file.stem for file in LOGS.glob("good_*.log"))


def lines(name: str) -> list[str]:
    return (LOGS / f"{name}.log").read_bytes().decode().split("\n")


@pytest.mark.parametrize("expected", CAUSES, ids=[cause["log"] for cause in CAUSES])
def test_a_provoked_failure_is_named(expected: dict[str, str | None]) -> None:
    log = lines(str(expected["log"]))
    sign = explain(log).cause
    assert sign is not None
    assert (sign.signature.id if sign.signature else "ours" if sign.kind == "ours" else None) == expected["id"]
    assert sign.said.startswith(str(expected["said"]))
    assert re.sub(r"\d+", "N", sign.process) == expected["process"]
    assert sign.said.partition(":")[0] in re.sub(r"\x1b\[[0-9;]*m", "", log[sign.line - 1])


@pytest.mark.parametrize("name", GOOD)
def test_a_good_run_has_no_failure(name: str) -> None:
    assert explain(lines(name)).cause is None


def test_there_are_logs_enough_and_each_has_its_cause() -> None:
    assert len(CAUSES) >= 30
    assert len(GOOD) >= 3
    assert (
        sum(str(cause["provoked"]).split(",")[0].startswith(("a lab run", "a supervised lab run")) for cause in CAUSES)
        >= 10
    )
    assert sorted([*(cause["log"] for cause in CAUSES), *GOOD]) == sorted(file.stem for file in LOGS.glob("*.log"))


FROM_THREADS = {
    "kv-cache-none": (
        "ValueError: No available memory for the cache blocks. Try increasing `gpu_memory_utilization` when"
    ),
    "cuda-memory": "RuntimeError: CUDA Error: out of memory at /workspace/csrc/cumem_allocator.cpp:62",
    "kernel-memory": "Out of memory: Killed process 4652 (ray::WorkerDict) total-vm:81234kB",
    "ray-disk": (
        "(raylet) [2025-04-21 10:05:37,313 E 9 9] (raylet) file_system_monitor.cc:116: /tmp/ray/session_1 is "
        "over 95% full, "
        "available space: 42.6 GB; capacity: 876.1 GB. Object creation will fail if spilling is required."
    ),
    "disk-full": "OSError: [Errno 28] No space left on device",
    "threads": (
        "(WorkerDict pid=2) [2025-03-04 19:28:30,014 E 2 2] logging.cc:113: Unhandled exception: what(): "
        "thread: Resource "
        "temporarily unavailable [system:11] [repeated 2x across cluster]"
    ),
    "ray-version": "RuntimeError: Version mismatch: The cluster was started with:\n    Ray: 2.9.3\n    Python: 3.10.13",
    "ray-gpus": "ValueError: Total available GPUs 8.0 is less than total desired GPUs 16",
    "ray-silent": "ConnectionError: Could not find any running Ray instance. Please specify the one to connect to",
    "nccl-timeout": (
        "[rank7]:[E419 10:42:28.858931807 ProcessGroupNCCL.cpp:616] [Rank 7] Watchdog caught collective "
        "operation timeout: "
        "WorkNCCL(SeqNum=4486, OpType=ALLTOALL, Timeout(ms)=600000) ran for 600013 milliseconds before timing out."
    ),
    "duplicate-gpu": "NCCL WARN Duplicate GPU detected : rank 1 and rank 0 both on CUDA device 40",
    "illegal-address": "RuntimeError: Worker failed with error 'CUDA error: an illegal memory access was encountered",
    "raylet-gone": "(raylet) Raylet is terminated. Termination is unexpected. Possible reasons include: (1) SIGKILL by",
    "nccl-system": (
        "torch.distributed.DistBackendError: NCCL error in: ../torch/csrc/distributed/c10d/ProcessGroupNCCL.cpp:1970, "
        "unhandled system error (run with NCCL_DEBUG=INFO for details), NCCL version 2.20.5"
    ),
    "broadcast-wait": (
        "(EngineCore_DP0 pid=77) INFO 10-22 09:43:49 [shm_broadcast.py:466] No available shared memory broadcast block "
        "found in 60 seconds."
    ),
    "weights-mapper": "AttributeError: 'WeightsMapper' object has no attribute 'get_unstacked_mapper'",
    "flash-attn-abi": (
        "ImportError: /x/flash_attn_2_cuda.cpython-310-x86_64-linux-gnu.so: undefined symbol: _ZN3c104cuda9Set"
    ),
    "binary-mismatch": "ImportError: libcudart.so.12: cannot open shared object file: No such file or directory",
    "numpy-abi": "ValueError: numpy.dtype size changed, may indicate binary incompatibility. Expected 96 from C header",
    "tensordict": (
        "ImportError: cannot import name 'ForkingPickler' from 'torch.multiprocessing.reductions' (/x/reductions.py)"
    ),
    "transfer-queue": "ModuleNotFoundError: No module named 'transfer_queue'",
    "driver-old": "RuntimeError: The NVIDIA driver on your system is too old (found version 11040).",
    "no-kernel-image": "RuntimeError: CUDA error: no kernel image is available for execution on the device",
    "bf16": (
        "ValueError: Bfloat16 is only supported on GPUs with compute capability of at least 8.0. Your Tesla T4 GPU has"
    ),
    "c-compiler": "RuntimeError: Failed to find C compiler. Please specify via CC environment variable.",
    "module-missing": "ModuleNotFoundError: No module named 'math_verify'",
    "gated": "huggingface_hub.errors.GatedRepoError: 401 Client Error. (Request ID: Root=1-66f4)",
    "reward-missing": "NotImplementedError: Reward function is not implemented for data_source='medical'",
    "reward-key": "KeyError: 'reward_model'",
    "prompt-long": "ValueError: Prompt length of 558 is longer than the maximum model length of 512.",
    "ranks-changed": "FileNotFoundError: [Errno 2] No such file: '/runs/x/actor/model_world_size_2_rank_0.pt'",
    "wandb-login": "wandb: ERROR api_key not configured (no-tty). call wandb.login(key=[your_api_key])",
    "data-file": "pyarrow.lib.ArrowInvalid: Parquet magic bytes not found in footer.",
    "loader-gone": "RuntimeError: DataLoader worker (pid(s) 4652) exited unexpectedly",
    "permission": "PermissionError: [Errno 13] Permission denied: '/data/runs'",
    "watchdog": "(TaskRunnerV1 pid=2) permix_verl: no progress for 41 s while waiting for rollouts of step 2",
    "timed-out": "ray.exceptions.GetTimeoutError: Get timed out: some object(s) not ready.",
    "echo": "vllm.v1.engine.exceptions.EngineDeadError: EngineCore encountered an issue. See stack trace (above)",
}


@pytest.mark.parametrize("name", FROM_THREADS)
def test_a_failure_is_known_by_the_words_of_its_threads(name: str) -> None:
    sign = explain(FROM_THREADS[name].split("\n")).cause
    assert sign is not None
    assert sign.signature is not None
    assert sign.signature.id == name


def test_every_signature_is_tried_and_has_a_source() -> None:
    tried = {cause["id"] for cause in CAUSES}
    assert len(SIGNATURES) >= 30
    assert len({signature.id for signature in SIGNATURES}) == len(SIGNATURES)
    for signature in SIGNATURES:
        assert signature.id in tried | set(FROM_THREADS), f"{signature.id} is tried by no log and no line"
        threads = [source for source in signature.sources if source != HERE]
        assert all(re.fullmatch(r".+ #\d+", thread) for thread in threads)
        assert {thread.rpartition(" #")[0] for thread in threads} <= set(REPOSITORIES)
        assert threads or signature.id in tried, f"{signature.id} has no thread and was not provoked"
        assert (HERE in signature.sources) == (signature.id in tried), f"{signature.id}: provoked, or not?"
    used = {source.rpartition(" #")[0] for signature in SIGNATURES for source in signature.sources}
    assert set(REPOSITORIES) == used - {"", HERE}


def test_the_page_shows_every_signature() -> None:
    assert PAGE.read_text() == page_with_table()


def test_the_command_says_what_where_and_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["doctor", "--explain", str(LOGS / "vllm_lora_rank.log")]) == 0
    said = capsys.readouterr().out
    rows = dict(re.findall(r"^(\w[\w ]*?)  +(.+)$", said, re.MULTILINE))
    assert rows["cause"] == "the adapter's rank is above what vLLM was started for"
    assert rows["said"] == "ValueError: LoRA rank 64 is greater than max_lora_rank 16."
    assert rows["process"].startswith("Worker pid=")
    assert re.match(r"line \d+ of .*vllm_lora_rank.log, .*peft_helper.py:\d+ in validate_legal", rows["where"])
    assert rows["follows"].startswith("3 other errors, of 3 processes; the last, line ")
    assert "max_lora_rank" in rows["remedy"]
    assert "vLLM #2847" in rows["sources"]


def test_what_is_not_known_is_quoted_with_the_users_own_frame(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["doctor", "--explain", str(LOGS / "lab_bad_reward.log")]) == 0
    said = capsys.readouterr().out
    assert "said      KeyError: 'difficulty'" in said
    assert "bad_reward.py:3 in compute_score_async" in said
    assert "process   RewardLoopWorker.compute_score pid=" in said


def test_as_data(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["doctor", "--json", "--explain", str(LOGS / "ray_task_error.log")]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["found"]
    assert data["cause"]["id"] is None
    assert data["cause"]["said"] == "KeyError: 'b'"
    assert data["cause"]["frame"].endswith("ray_die.py:5 in get")
    assert run(["doctor", "--json", "--explain", str(LOGS / f"{GOOD[0]}.log")]) == 1
    data = json.loads(capsys.readouterr().out)
    assert (data["found"], data["cause"]) == (False, None)


def test_a_runs_folder_stands_for_its_newest_log_and_its_watchdogs_cause(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "1.log").write_text("ValueError: old\n")
    (tmp_path / "logs" / "2.log").write_text("KeyError: 'new'\n")
    assert run(["doctor", "--explain", str(tmp_path)]) == 0
    assert "KeyError: 'new'" in capsys.readouterr().out
    (tmp_path / "logs" / "2.log").write_text("nothing\n")
    assert run(["doctor", "--explain", str(tmp_path)]) == 1
    assert "no failure found in 1 lines" in capsys.readouterr().out
    (tmp_path / "cause.txt").write_text("rollout server 0 is gone")
    assert run(["doctor", "--explain", str(tmp_path)]) == 0
    assert "watchdog  rollout server 0 is gone" in capsys.readouterr().out


def test_standard_input(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "stdin", StringIO("x\nKeyError: 'a'\n"))
    assert run(["doctor", "--explain", "-"]) == 0
    assert "line 2 of standard input" in capsys.readouterr().out


def test_what_cannot_be_read_is_said(tmp_path: Path) -> None:
    (tmp_path / "log.gz").write_bytes(b"\x1f\x8b\0\0binary")
    for name, said in [
        ("missing.log", "no such file; give a log"),
        ("log.gz", "not a text file"),
        (".", r"no log in it or in its logs/"),
    ]:
        with pytest.raises(UserError, match=said):
            run(["doctor", "--explain", str(tmp_path / name)])
