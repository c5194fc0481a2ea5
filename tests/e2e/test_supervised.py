"""The paper's supervised methods, from data to an evaluated adapter; killed and resumed; on two ranks."""

import json
import re
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from permix_verl import load_pool
from permix_verl.lab.base_model import MODEL
from permix_verl.lab.problems import generate
from permix_verl.personas.prompts import build_messages, render
from permix_verl.runs import metrics as m

from ..support.evaluations import command, done, rows
from .conftest import Recipe, Run

ARMS: Mapping[str, tuple[str, dict[str, str]]] = {
    "sft": ("run_sft.sh", {"LORA_DROPOUT": "0"}),  # dropout differs by rank, and this recipe also runs on two
    "permix-sft": ("run_permix_sft.sh", {"TARGET": "gt"}),
    "permix-sft-styled": ("run_permix_sft.sh", {"TARGET": "styled"}),
    "seqkd": ("run_seqkd.sh", {"PERSONA": "0"}),
    "seqkd-persona": ("run_seqkd.sh", {"PERSONA": "1"}),
}
ONE_EPOCH = {"EPOCHS": "1"}
"""576 rows in 36 steps."""


@pytest.fixture(scope="module")
def arms(recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    """Every supervised recipe with its defaults, for one epoch."""
    folder = tmp_path_factory.mktemp("arms")
    return {
        arm: recipe(script, folder / arm, STORE=str(folder / "store"), **ONE_EPOCH, **knobs).check()
        for arm, (script, knobs) in ARMS.items()
    }


def losses(run: Run) -> dict[int, float]:
    return {step: values[m.LOSS] for step, values in m.training_steps(run.metrics).items()}


@pytest.mark.parametrize("arm", ARMS)
def test_held_out_loss_falls_below_the_bases(arms: dict[str, Run], arm: str) -> None:
    held_out = json.loads((arms[arm].folder / "verdict.json").read_text())["held_out"]
    assert held_out["rows"] == 256
    assert held_out["change"] < -3 * held_out["standard_error"]
    assert abs(held_out["adapter"] - held_out["trained"]) < 1e-4
    assert "adapter verified" in arms[arm].output
    assert len(losses(arms[arm])) == 36


@pytest.mark.parametrize("arm", ARMS)
def test_the_adapter_loads_and_changes_the_outputs(arms: dict[str, Run], arm: str) -> None:
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(MODEL, padding_side="left")
    personas = [None, *load_pool("eval")][:9]
    asked = [build_messages(row["question"], one) for row in generate(4, "easy", "test") for one in personas]
    batch = tokenizer([render(tokenizer, chat) for chat in asked], padding=True, return_tensors="pt")
    given = {name: batch[name] for name in ("input_ids", "attention_mask")}

    def answers(model: Any) -> list[str]:
        torch.manual_seed(0)
        ids = model.generate(**given, do_sample=True, top_k=0, max_new_tokens=40)
        return tokenizer.batch_decode(ids[:, given["input_ids"].shape[1] :], skip_special_tokens=True)

    base = AutoModelForCausalLM.from_pretrained(MODEL, dtype=torch.float32).eval()
    before = answers(base)
    after = answers(PeftModel.from_pretrained(base, arms[arm].folder / "adapter").eval())
    assert sum(one != other for one, other in zip(before, after, strict=True)) > 3
    assert sum("\\boxed" in text for text in after) > 30


def test_a_teachers_targets_are_requested_once(arms: dict[str, Run]) -> None:
    """No text of a teacher is stored twice; the fraction of correct texts is printed and recorded."""
    store = (arms["seqkd"].folder.parent / "store" / "targets.jsonl").read_text().splitlines()
    stored = [json.loads(line) for line in store]
    assert len({text["key"] for text in stored}) == len(stored)
    taught = [text for text in stored if text["model"] == "teacher"]
    assert len(taught) == 2 * (576 + 256)
    for arm in ("seqkd", "seqkd-persona"):
        manifest = json.loads((arms[arm].folder / "data" / "manifest.json").read_text())
        assert 0.5 < manifest["targets"]["right"] <= 1
        assert "of them right" in arms[arm].output


def test_the_evaluation_accepts_the_adapter(arms: dict[str, Run], tmp_path: Path) -> None:
    out = tmp_path / "results"
    chosen = "--tasks lab_easy --limit 6 --runs 1 --temperature 1 --max-tokens 40"
    personas = ["--personas", "eval:kindergarten,lawyer,teacher"]
    adapter = ["--adapter", arms["seqkd-persona"].folder / "adapter"]
    done(command("run.py", "--model", MODEL, *adapter, *chosen.split(), *personas, "--out", out))
    assert len(rows(out)) == 6 * 4
    assert sum(row["status"] == "correct" for row in rows(out)) >= 12


def test_a_kill_does_not_change_the_loss_curve(recipe: Recipe, arms: dict[str, Run], tmp_path: Path) -> None:
    folder = tmp_path / "run"
    knobs = {**ONE_EPOCH, "SAVE_FREQ": "8"}
    first = recipe("run_permix_sft.sh", folder, stop_after=r"^ *12/36", stop_with=signal.SIGKILL, **knobs)
    assert first.status != 0
    last = recipe("run_permix_sft.sh", folder, **knobs).check()
    assert "processes that an earlier launch of this run left behind" in last.output
    # The killed launcher's processes continue until the next launch ends them, and may have saved again.
    assert re.search("going on after step (8|16|24|32) of 36", last.output)
    assert losses(last) == losses(arms["permix-sft"])
    ours, theirs = (run.folder / "adapter" / "adapter_model.safetensors" for run in (last, arms["permix-sft"]))
    assert ours.read_bytes() == theirs.read_bytes()


def test_two_ranks_have_the_data_and_losses_of_one(recipe: Recipe, arms: dict[str, Run], tmp_path: Path) -> None:
    script, knobs = ARMS["sft"]
    two = recipe(script, tmp_path / "two", stop_after=r"^ *6/36", RANKS="2", **ONE_EPOCH, **knobs)
    assert two.status == 130
    one = losses(arms["sft"])
    assert [losses(two)[step] for step in range(1, 7)] == pytest.approx([one[step] for step in range(1, 7)], rel=1e-4)
    tokens = [
        [m.training_steps(run.metrics)[step]["train/global_tokens"] for step in range(1, 7)]
        for run in (arms["sft"], two)
    ]
    assert tokens[0] == tokens[1]
