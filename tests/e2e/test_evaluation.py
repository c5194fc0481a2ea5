"""``eval/run.py`` and ``eval/report.py`` as a user runs them: real rows, vLLM, kills and resumes, an endpoint."""

import contextlib
import json
import os
import random
import secrets
import socket
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from permix_verl import load_pool

from ..support.evaluations import (
    ARMS,
    command,
    done,
    engine_core,
    kill,
    no_row_is_missing_or_doubled,
    nobody,
    rows,
    short_problems,
)
from ..support.ray_nodes import TwoNodes

PROBLEMS, RUNS = 8, 2
LONGER = {"max_position_embeddings": 8192}
"""A context long enough for a judge's prompt; the tiny model's 1024 tokens hold about one letter each."""


@pytest.fixture(scope="module")
def killed_and_resumed(
    world: dict[str, Path], shared_data: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, list[str]]:
    """Evaluate real GSM8K and MATH-500 rows under 17 conditions, killed twice during storage; and the command."""
    folder = tmp_path_factory.mktemp("results") / "tiny"
    problems = short_problems(shared_data, folder.parent, PROBLEMS)
    arguments = command(
        "run.py", "--model", world["model"], "--out", folder, "--max-tokens", 64, "--runs", RUNS,
        "--tasks", ",".join(f"{task}={file}" for task, file in problems.items()),
    )  # fmt: skip
    draw = random.Random(0)
    for victim in (engine_core, nobody):
        killed = kill(arguments, folder, victim, after_rows=draw.randint(1, 100))
        assert killed is not None, "it was finished before the last kill"
        assert killed[1] == ("engine" if victim is engine_core else "evaluation")
    kept = {row["key"] for row in rows(folder)}
    done(arguments)
    assert kept <= {row["key"] for row in rows(folder)}
    return folder, arguments


def test_two_kills_lose_and_repeat_no_row(killed_and_resumed: tuple[Path, list[str]]) -> None:
    folder, arguments = killed_and_resumed
    no_row_is_missing_or_doubled(folder, 2 * len(ARMS) * PROBLEMS * RUNS)
    before = {file: file.read_bytes() for file in (folder / "samples").iterdir()}
    assert "0 of them new" in done(arguments)
    assert {file: file.read_bytes() for file in (folder / "samples").iterdir()} == before


def test_rows_are_complete(killed_and_resumed: tuple[Path, list[str]], world: dict[str, Path]) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(world["model"])
    personas = {persona.key: persona.system_prompt for persona in load_pool("eval")}
    for row in rows(killed_and_resumed[0]):
        assert (personas[row["persona"]] in row["prompt"]) if row["persona"] in personas else True
        assert row["prompt_tokens"] == len(tokenizer(row["prompt"], add_special_tokens=False)["input_ids"])
        assert row["finish_reason"] in ("stop", "length")
        assert (row["completion_tokens"] == 64) == (row["finish_reason"] == "length")
        assert row["status"] in ("correct", "wrong", "no_answer")
    outputs = {row["output"] for row in rows(killed_and_resumed[0])}
    assert len(outputs) > 100, "sampled answers differ"


def test_the_report_equals_the_rows(killed_and_resumed: tuple[Path, list[str]], tmp_path: Path) -> None:
    folder, _ = killed_and_resumed
    done(command("report.py", folder, "--out", tmp_path / "report", "--draws", 200))
    report = json.loads((tmp_path / "report" / "report.json").read_text())
    for task in ("gsm8k", "math500"):
        figures = report["tasks"][task]["models"]["tiny"]
        right = Counter(row["persona"] for row in rows(folder) if row["task"] == task and row["status"] == "correct")
        for persona in figures["personas"]:
            assert persona["accuracy"] == pytest.approx(right[persona["persona"]] / (PROBLEMS * RUNS))
    assert (tmp_path / "report" / "report.html").read_text().count("<svg") >= 4


@pytest.fixture(scope="module")
def endpoint(world: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """vLLM's own OpenAI-compatible server on loopback."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = os.environ | {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind"}
    environment["VLLM_ALLOW_RUNTIME_LORA_UPDATING"] = "True"
    log = tmp_path_factory.mktemp("server") / "log"
    with log.open("wb") as sink:
        server = subprocess.Popen(
            [
                *(sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(world["model"])),
                *("--served-model-name", "tiny", "--host", "127.0.0.1", "--port", str(port)),
                *("--enforce-eager", "--no-enable-chunked-prefill"),
                *("--hf-overrides", json.dumps(LONGER), "--enable-lora", "--max-lora-rank", "8"),
            ],
            stdout=sink,
            stderr=sink,
            env=environment,
        )
    try:
        deadline = time.monotonic() + 300
        while time.monotonic() < deadline:
            assert server.poll() is None, log.read_text()[-3000:]
            with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/health"):
                break
            time.sleep(1)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        children = psutil.Process(server.pid).children(recursive=True)
        server.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.wait(30)
        for process in [*children, psutil.Process(server.pid)] if server.poll() is None else children:
            with contextlib.suppress(psutil.Error):
                process.kill()


def test_an_endpoint_fills_the_same_store_and_the_same_report(
    endpoint: str, world: dict[str, Path], shared_data: Path, tmp_path: Path
) -> None:
    asked = ["--max-tokens", 64, "--runs", 2, "--limit", 4, "--personas", "eval:dumb,lawyer"]
    asked += ["--tasks", f"gsm8k={shared_data}/gsm8k"]
    served = command("run.py", "--model", "tiny", "--base-url", endpoint, "--out", tmp_path / "served", *asked)
    done(served)
    done(command("run.py", "--model", world["model"], "--out", tmp_path / "local", *asked))
    by_place = [
        {(row["persona"], row["problem"], row["run"]): row for row in rows(tmp_path / name)}
        for name in ("served", "local")
    ]
    assert set(by_place[0]) == set(by_place[1])
    for place, row in by_place[0].items():
        local = by_place[1][place]
        assert (row["seed"], row["prompt_tokens"]) == (local["seed"], local["prompt_tokens"]), "the same prompt"
        assert row.keys() == local.keys()
    # With the same seeds and engine, nearly all completions are identical in float32 on one machine.
    same = sum(row["output"] == by_place[1][place]["output"] for place, row in by_place[0].items())
    assert same >= 0.8 * len(by_place[0])
    assert "0 of them new" in done(served)
    done(command("report.py", tmp_path / "served", tmp_path / "local", "--out", tmp_path / "report", "--draws", 100))
    assert set(json.loads((tmp_path / "report" / "report.json").read_text())["tasks"]["gsm8k"]["models"]) == {
        "served",
        "local",
    }


def test_a_replaced_adapter_of_the_same_name_is_detected(endpoint: str, world: dict[str, Path], tmp_path: Path) -> None:
    from permix_verl.inference.engines.openai import OpenAIEngine
    from permix_verl.inference.served_model import PROBES

    def serve(adapter: Path, verb: str = "load") -> None:
        body = json.dumps({"lora_name": "mine", "lora_path": str(adapter)}).encode()
        kind = {"Content-Type": "application/json"}
        urllib.request.urlopen(urllib.request.Request(f"{endpoint}/{verb}_lora_adapter", body, kind)).close()

    one, other = (with_effect(world["model"], tmp_path / name, seed) for seed, name in enumerate(("one", "other")))
    engine = OpenAIEngine(endpoint, "mine")
    with contextlib.closing(engine):
        serve(one)
        first = engine.served()
        assert len(first.greedy) == len(PROBES)
        serve(one, "unload")
        serve(other)
        assert "its log-probs of fixed texts differ by" in engine.served().difference(first)
        serve(other, "unload")
        serve(one)
        again = engine.served()
        assert again.difference(first) == again.hint(first) == "", "the same model is the same"


def with_effect(model: Path, out: Path, seed: int) -> Path:
    """An adapter with a non-zero B."""
    import torch
    from safetensors.torch import load_file, save_file

    from permix_verl.training.hooks.initial_adapter import make_initial_adapter

    make_initial_adapter(str(model), out, rank=8, alpha=16, dropout=0.0, target_modules=["q_proj", "v_proj"], seed=seed)
    draw = torch.Generator().manual_seed(seed)
    weights = load_file(out / "adapter_model.safetensors")
    changed = {name: weight + 0.1 * torch.randn(weight.shape, generator=draw) for name, weight in weights.items()}
    save_file(changed, out / "adapter_model.safetensors", metadata={"format": "pt"})
    return out


def test_vllm_answers_and_judges_persona_fidelity(endpoint: str, world: dict[str, Path], tmp_path: Path) -> None:
    """vLLM's server is the model under test and one judge; vLLM in the command's own process is the second judge.

    A tiny model judges at random, but within the reply's schema: each reply is a score or truncated.
    """
    longer = {"hf_overrides": LONGER}
    here = {"model": str(world["model"]), "name": "here", "engine_args": longer, "temperature": 1.0, "max_tokens": 600}
    there = {"model": "tiny", "base_url": endpoint, "name": "there", "max_tokens": 64}
    asked = ["--model", "tiny", "--base-url", endpoint, "--personas", "eval:kindergarten,lawyer", "--max-tokens", 48]
    judges = ["--judge", json.dumps(here), "--judge", json.dumps(there), "--attempts", 1]
    arguments = command("personagym.py", *asked, *judges, "--out", tmp_path / "tiny")
    output = done(arguments)
    assert "20 of 20 answers, 40 of 40 judgements" in output
    stored = [json.loads(line) for line in (tmp_path / "tiny" / "personagym" / "judgements.jsonl").open()]
    assert Counter(row["judge"] for row in stored) == {"here": 20, "there": 20}
    assert {row["status"] for row in stored} <= {"scored", "refused", "cut"}
    assert "scored" in {row["status"] for row in stored if row["judge"] == "here"}
    for row in stored:
        assert row["reply"].lstrip().startswith("{"), "the schema holds from the first letter on"
        assert row["status"] == "cut" or set(json.loads(row["reply"])) == {"reason", "score"}
    answers = [json.loads(line) for line in (tmp_path / "tiny" / "personagym" / "answers.jsonl").open()]
    assert len({row["output"] for row in answers}) > 2
    again = done(arguments)
    assert "0 calls to here" in again
    assert "0 calls to there" in again
    done(command("report.py", tmp_path / "tiny", "--out", tmp_path / "report"))
    assert "## Persona fidelity" in (tmp_path / "report" / "report.md").read_text()


def test_too_long_a_prompt_is_refused_before_generation(
    world: dict[str, Path], shared_data: Path, tmp_path: Path
) -> None:
    asked = ["--model", world["model"], "--tasks", f"math500={shared_data}/math500", "--out", tmp_path / "x"]
    output = done(command("run.py", *asked, "--max-tokens", 64), status=2)
    assert "do not fit into the model's context of 1024; use a model with a longer one" in output.splitlines()[-1]
    assert rows(tmp_path / "x") == []


def test_a_model_missing_at_the_endpoint_is_one_clear_error(
    endpoint: str, world: dict[str, Path], tmp_path: Path
) -> None:
    asked = ["--tasks", f"gsm8k={world['data']}", "--out", tmp_path / "x"]
    output = done(command("run.py", "--model", "other", "--base-url", endpoint, *asked), status=2)
    assert "has no model 'other'; it serves tiny" in output.splitlines()[-1]


def test_two_replicas_on_a_ray_cluster_of_two_nodes_with_an_adapter(
    world: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each node declares one GPU to Ray, so each gets one replica."""
    from permix_verl.training.hooks.initial_adapter import make_initial_adapter

    adapter = tmp_path / "adapter"
    make_initial_adapter(
        str(world["model"]), adapter, rank=8, alpha=16, dropout=0.0, target_modules=["q_proj", "v_proj"], seed=0
    )
    asked = ["--model", world["model"], "--adapter", adapter, "--max-tokens", 32, "--runs", 1, "--limit", 4]
    asked += ["--personas", "eval:dumb,lawyer", "--tasks", f"gsm8k={world['data']}"]
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN", secrets.token_hex(16))
    nodes = TwoNodes(os.environ)
    try:
        monkeypatch.setenv("RAY_ADDRESS", nodes.address)
        done(command("run.py", *asked, "--data-parallel-size", 2, "--out", tmp_path / "two"))
    finally:
        nodes.close()
        monkeypatch.delenv("RAY_ADDRESS")
    done(command("run.py", *asked, "--out", tmp_path / "one"))
    two, one = ({row["key"]: row["output"] for row in rows(tmp_path / name)} for name in ("two", "one"))
    assert two.keys() == one.keys()
    assert sum(two[key] == one[key] for key in one) >= 0.8 * len(one)
    assert len(one) == 12


def test_an_adapter_for_another_base_is_refused(world: dict[str, Path], tmp_path: Path) -> None:
    from transformers import LlamaConfig, LlamaForCausalLM

    from permix_verl.training.hooks.initial_adapter import make_initial_adapter

    other = tmp_path / "other"
    LlamaForCausalLM(
        LlamaConfig(vocab_size=64, hidden_size=32, intermediate_size=64, num_hidden_layers=1, num_attention_heads=2)
    ).save_pretrained(other)
    adapter = tmp_path / "adapter"
    make_initial_adapter(str(other), adapter, rank=8, alpha=16, dropout=0.0, target_modules=["q_proj"], seed=0)
    asked = command("run.py", "--model", world["model"], "--tasks", f"gsm8k={world['data']}", "--out", tmp_path / "x")
    asked += ["--adapter", str(adapter)]
    assert "was trained on" in done(asked, status=2).splitlines()[-1]
    config = json.loads((adapter / "adapter_config.json").read_text())
    (adapter / "adapter_config.json").write_text(json.dumps(config | {"base_model_name_or_path": "some/base"}))
    assert "does not fit" in done(asked, status=2).splitlines()[-1]
    assert not (tmp_path / "x").exists(), "nothing was begun"
