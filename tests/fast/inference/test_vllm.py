"""Arguments of vLLM's engine, and the clean-up if it does not start; vLLM itself is a recorder here."""

import json
import os
import sys
import threading
import types
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest

from permix_verl import UserError
from permix_verl.inference.engine_config import EngineConfig
from permix_verl.inference.engines.vllm import CPU_ENGINE_ARGS, _unblock_when_dead


class StartedError(Exception):
    """Raised by the recorder in place of an engine."""


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Settings of the engine that was asked for."""
    settings: dict[str, Any] = {}

    def record(**given: Any) -> None:
        settings.update(given)
        raise StartedError

    vllm: Any = types.ModuleType("vllm")
    vllm.LLM = record
    vllm.platforms = types.ModuleType("vllm.platforms")
    vllm.platforms.current_platform = types.SimpleNamespace(is_cpu=lambda: settings.pop("on_cpu", False))
    monkeypatch.setitem(sys.modules, "vllm", vllm)
    monkeypatch.setitem(sys.modules, "vllm.platforms", vllm.platforms)
    for name in ("VLLM_CPU_KVCACHE_SPACE", "VLLM_CPU_OMP_THREADS_BIND", "VLLM_LOGGING_LEVEL"):
        monkeypatch.setenv(name, os.environ.get(name, "1"))
    monkeypatch.setenv("VLLM_WORKER_MULTIPROC_METHOD", "spawn")
    return settings


def test_every_option_reaches_the_engine(started: dict[str, Any]) -> None:
    config = EngineConfig("llama", tensor_parallel_size=4, engine_args={"gpu_memory_utilization": 0.8})
    with pytest.raises(StartedError):
        config.start("You are a chef.")
    assert started == {
        "model": "llama",
        "tensor_parallel_size": 4,
        "gpu_memory_utilization": 0.8,
        "enable_prefix_caching": True,
        "disable_log_stats": True,
    }


def test_on_cpu_its_settings_reach_the_engine_and_the_users_come_before_them(started: dict[str, Any]) -> None:
    started["on_cpu"] = True
    with pytest.raises(StartedError):
        EngineConfig("llama", engine_args={"block_size": 128}).start("You are a chef.")
    assert {name: started[name] for name in CPU_ENGINE_ARGS} == {**CPU_ENGINE_ARGS, "block_size": 128}


def test_the_adapters_rank_is_reserved(started: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text('{"r": 12, "rank_pattern": {"q_proj": 20}}')
    with pytest.raises(StartedError):
        EngineConfig("llama", adapter=str(tmp_path)).start("You are a chef.")
    assert (started["enable_lora"], started["max_loras"], started["max_lora_rank"]) == (True, 1, 32)


def test_settings_that_vllm_refuses_are_one_line_with_the_models_quantisation(
    monkeypatch: pytest.MonkeyPatch, started: dict[str, Any], tmp_path: Path
) -> None:
    def refuse(**_: Any) -> None:
        raise ValueError("1 validation error\n  Value error, float32 is not supported for awq [type=x, input=y]\n more")

    monkeypatch.setattr(sys.modules["vllm"], "LLM", refuse)
    (tmp_path / "config.json").write_text(json.dumps({"quantization_config": {"quant_method": "awq", "bits": 4}}))
    with pytest.raises(UserError) as refused:
        EngineConfig(str(tmp_path)).start("You are a chef.")
    assert str(refused.value) == (
        f"vLLM does not take {tmp_path} (quantised: awq, 4 bits): float32 is not supported for awq; give --engine-args "
        'what it wants, such as {"dtype": "bfloat16"}, or another model'
    )


def watched(dead: bool, closed: threading.Event) -> tuple[threading.Thread, SimpleQueue[Any]]:
    """The watch over an engine, and the queue that a waiting step looks at."""
    client = types.SimpleNamespace(resources=types.SimpleNamespace(engine_dead=dead), outputs_queue=SimpleQueue())
    before = set(threading.enumerate())
    _unblock_when_dead(client, closed)
    (watch,) = (t for t in set(threading.enumerate()) - before if t.name == "permix-engine-watch")
    return watch, client.outputs_queue


def test_a_dead_engine_wakes_the_step_that_waits_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    exceptions: Any = types.ModuleType("vllm.v1.engine.exceptions")
    exceptions.EngineDeadError = type("EngineDeadError", (Exception,), {})
    for name in ("vllm", "vllm.v1", "vllm.v1.engine"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    monkeypatch.setitem(sys.modules, "vllm.v1.engine.exceptions", exceptions)
    watch, queue = watched(True, threading.Event())
    assert isinstance(queue.get(timeout=5), exceptions.EngineDeadError)
    watch.join(timeout=5)
    assert not watch.is_alive()


def test_the_watch_over_an_engine_ends_with_it() -> None:
    closed = threading.Event()
    watch, queue = watched(False, closed)
    closed.set()
    watch.join(timeout=5)
    assert not watch.is_alive()
    assert queue.empty()
