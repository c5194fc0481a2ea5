"""The code reward as verl calls it (by path, off the main thread, in an event loop), and its rows."""

import asyncio
import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from permix_verl import UserError, load_pool
from permix_verl.cli import prep as gsm8k_persona
from permix_verl.sandbox import SandboxUnavailableError

from ...support.code_rows import DOUBLE, PLUS_ONE, SQUARE, write
from ...support.reward_file import load

SOURCE = Path(__file__).resolve().parents[3] / "reward_fns" / "code_reward.py"
MATH = SOURCE.with_name("math_reward.py")
TRUTH = json.dumps({"inputs": ["1\n", "41\n"], "outputs": ["2\n", "42\n"], "fn_name": None})
FUNCTION = json.dumps({"inputs": [[[1, 2, 3]], [[]]], "outputs": [6, 0], "fn_name": "total"})


def answer(program: str) -> str:
    return f"As a chef I would say:\n```python\n{program}\n```\nBon appetit!"


CASES = [
    (answer("print(int(input()) + 1)"), TRUTH, "correct", "2 of 2 tests"),
    (answer("print(2)"), TRUTH, "wrong", "test 2 of 2: wrong output"),
    (answer("print(nothing)"), TRUTH, "wrong", "test 1 of 2: NameError: name 'nothing' is not defined"),
    (answer("while True: pass"), TRUTH, "timeout", "test 1 of 2: time limit"),
    ("I only cook.", TRUTH, "no_answer", "no program in the answer"),
    (None, TRUTH, "no_answer", "no program in the answer"),
    (answer("class Solution:\n    def total(self, a): return sum(a)"), FUNCTION, "correct", "2 of 2 tests"),
    (answer("def total(a): print(sum(a))"), FUNCTION, "wrong", "test 1 of 2: wrong value"),
    (answer("print(1)"), "nonsense", "error", "ground truth 'nonsense' cannot be parsed"),
    (answer("print(1)"), '{"inputs": [], "outputs": []}', "error", "every program would pass"),
]


@pytest.fixture(scope="module")
def reward() -> Any:
    module: Any = load(SOURCE)
    module.LIMITS = module.Limits(cpu_s=1, wall_s=60)
    return module


@pytest.mark.parametrize(("solution", "truth", "status", "pred"), CASES)
def test_every_result_has_the_math_rewards_keys(
    reward: Any, solution: str | None, truth: str, status: str, pred: str
) -> None:
    result = reward.compute_score("code", solution, truth, {"persona": "chef", "row_id": "code/train/3"})
    assert set(result) == set(load(MATH).compute_score("", "5", "5")) - {"mark"}  # the fence marks a program
    assert result["status"] == status
    assert pred in result["pred"]
    assert result["score"] == result["acc"] == float(status == "correct")
    flags = {key: result[key] for key in ("no_answer", "timeout", "error")}
    assert flags == {key: float(key == status) for key in flags}
    assert (result["persona"], result["row_id"]) == ("chef", "code/train/3")


def test_the_persona_changes_nothing(reward: Any) -> None:
    scores = [
        reward.compute_score("code", CASES[0][0], TRUTH, {"persona": key})["score"]
        for key in load_pool("train").keys[:3]
    ]
    assert scores == [1.0] * 3


def test_an_event_loop_a_batch_and_a_thread_agree(reward: Any) -> None:
    solutions, truths = [case[0] for case in CASES], [case[1] for case in CASES]
    expected = [case[2] for case in CASES]

    async def together() -> list[dict[str, Any]]:
        return await asyncio.gather(
            *(reward.compute_score_async("code", *pair) for pair in zip(solutions, truths, strict=True))
        )

    assert [row["status"] for row in asyncio.run(together())] == expected
    batch = reward.compute_score_batch(["code"] * len(CASES), solutions, truths)
    assert [row["status"] for row in batch] == expected
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(reward.compute_score("code", *CASES[0][:2])["status"]))
    thread.start()
    thread.join()
    assert found == ["correct"]


def test_the_reward_loads_by_path_without_heavy_imports(tmp_path: Path) -> None:
    probe = f"""
import importlib.util, sys
spec = importlib.util.spec_from_file_location("mine", {str(SOURCE)!r})
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
print(module.compute_score("x", {CASES[0][0]!r}, {TRUTH!r})["status"])
print([name for name in ("torch", "verl", "ray", "vllm", "transformers") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", probe], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout.split("\n")[:2] == ["correct", "[]"], done.stderr


def test_without_isolation_the_reward_raises_instead_of_scoring(monkeypatch: pytest.MonkeyPatch) -> None:
    module: Any = load(SOURCE)
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(SandboxUnavailableError, match="there is no bwrap"):
        module.compute_score("code", CASES[0][0], TRUTH)
    monkeypatch.setenv("CODE_REWARD_SANDBOX", "off-programs-run-with-my-rights")
    assert module.compute_score("code", CASES[0][0], TRUTH)["status"] == "correct"


def test_rows_of_programs_have_personas_and_their_tests_as_ground_truth(
    tokenizer_folder: Path, tmp_path: Path, reward: Any
) -> None:
    plain = {"question": "Print N + 1.", "ground_truth": TRUTH}
    source = write(tmp_path / "problems.jsonl", plain, PLUS_ONE, DOUBLE, SQUARE)
    flags = ["--task", "code", "--data", str(source), "--tokenizer", str(tokenizer_folder), "--val-problems", "1"]
    gsm8k_persona.main([*flags, "--max-prompt-length", "4096", "--out", str(tmp_path / "out")])
    rows = [row for name in ("train", "val") for row in pq.read_table(tmp_path / "out" / f"{name}.parquet").to_pylist()]
    assert {row["ability"] for row in rows} == {"code"}
    assert len(rows) == 3 + 1 + len(load_pool("train"))
    square = next(row for row in rows if "Problem square." in row["extra_info"]["question"])
    assert "def square(self, a: int)" in square["prompt"][-1]["content"]
    assert "Give the whole program in one block" in square["prompt"][-1]["content"]
    program = answer("class Solution:\n    def square(self, a): return a * a")
    truth = square["reward_model"]["ground_truth"]
    assert reward.compute_score(square["data_source"], program, truth, square["extra_info"])["score"] == 1.0
    assert json.loads((tmp_path / "out" / "manifest.json").read_text())["task"] == "code"


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({"question": "?"}, "problem 1: no tests"),
        ({"ground_truth": TRUTH}, "problem 1: no question"),
        ({"question": "?", "ground_truth": "x"}, "problem 1: ground truth 'x'"),
    ],
)
def test_unreadable_code_rows_are_named(tokenizer_folder: Path, tmp_path: Path, row: dict[str, str], told: str) -> None:
    source = write(tmp_path / "problems.jsonl", row)
    flags = [
        "--task",
        "code",
        "--data",
        str(source),
        "--tokenizer",
        str(tokenizer_folder),
        "--out",
        str(tmp_path / "o"),
    ]
    with pytest.raises(UserError, match=told):
        gsm8k_persona.main([*flags, "--out", str(tmp_path / "o")])
    with pytest.raises(UserError, match="needs programming problems"):
        gsm8k_persona.main(["--task", "code", "--out", str(tmp_path / "o")])
