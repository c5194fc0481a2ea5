"""PerMix-RLVR on programs: a tiny model learns to avoid wrong programs, from the sandbox's rewards alone.

By hand, about fifteen minutes on 2 cores:

.venv/bin/python -m pytest tests/soak/test_code_training.py -s --basetemp=runs/soak | tee docs/soak/code_training.log
"""

import itertools
import json
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from permix_verl.lab.base_model import MODEL
from permix_verl.personas.pool import load_pool
from permix_verl.personas.prompts import build_messages, code_question, render
from permix_verl.runs import metrics as m

from ..e2e.conftest import Recipe, Run, recipe  # noqa: F401

OPERATIONS = {"added to": "+", "multiplied by": "*", "less": "-"}
RIGHT = 0.5
"""Fraction of correct programs in the base's training data; the others use a wrong operation."""


def statement(words: str, number: int) -> str:
    return f"Read an integer. Print it {words} {number}."


def program(operation: str, number: int) -> str:
    return f"```python\nn = int(input())\nprint(n {operation} {number})\n```"


def problems(rng: random.Random) -> Iterator[tuple[str, str, int]]:
    while True:
        words = rng.choice(list(OPERATIONS))
        yield words, OPERATIONS[words], rng.randint(2, 40)


def make_base(folder: Path, steps: int = 700, batch: int = 16) -> None:
    """The lab's base, trained on programs under personas, half of them wrong."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.manual_seed(0)
    rng = random.Random(0)
    tokenizer: Any = AutoTokenizer.from_pretrained(MODEL)
    model: Any = AutoModelForCausalLM.from_pretrained(MODEL, dtype=torch.float32).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    personas = [*load_pool("train"), None]
    source = problems(rng)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = 1e-3 * (1 - step / steps)
        sequences = []
        for words, right, number in itertools.islice(source, batch):
            operation = right if rng.random() < RIGHT else rng.choice([*OPERATIONS.values()])
            messages = build_messages(code_question(statement(words, number)), rng.choice(personas), task="code")
            text = render(tokenizer, messages) + program(operation, number) + tokenizer.eos_token
            sequences.append(tokenizer(text, add_special_tokens=False)["input_ids"])
        longest = max(map(len, sequences))
        # (batch, longest): padding lies behind, and is no target.
        ids = torch.tensor([one + [tokenizer.pad_token_id] * (longest - len(one)) for one in sequences])
        labels = ids.masked_fill(ids == tokenizer.pad_token_id, -100)
        loss = model(input_ids=ids, labels=labels).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        if step % 100 == 99:
            print(f"base, step {step + 1}: loss {loss.item():.3f}", flush=True)
    model.to(torch.float16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def write_problems(file: Path, count: int) -> None:
    rows = []
    for words, operation, number in itertools.islice(problems(random.Random(1)), count):
        given = [3, -17, 1000]
        right = [n + number if operation == "+" else n * number if operation == "*" else n - number for n in given]
        tests = {"inputs": [f"{n}\n" for n in given], "outputs": [f"{n}\n" for n in right], "fn_name": None}
        rows.append({"question": statement(words, number), "ground_truth": json.dumps(tests)})
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture(scope="module")
def run(recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Run:  # noqa: F811
    folder = tmp_path_factory.mktemp("code")
    make_base(folder / "base")
    write_problems(folder / "problems.jsonl", 260)
    knobs = {
        "TASK": "code",
        "MODEL": str(folder / "base"),
        "DATA": str(folder / "problems.jsonl"),
        "BATCH": "16",
        "PROMPT_LENGTH": "192",
        "RESPONSE_LENGTH": "48",
        "VAL_PROBLEMS": "2",
        "TEST_FREQ": "1000",
        "LR": "3e-3",
        "LORA_RANK": "8",
        "SEED_ROLLOUTS": "1",
    }
    return recipe("run_permix_grpo.sh", folder / "run", "trainer.val_before_train=False", **knobs).check()


def test_the_fraction_of_right_programs_grows(run: Run) -> None:
    steps = m.training_steps(run.metrics)
    rewards = [values["critic/score/mean"] for values in steps.values()]
    print("reward of each step:", " ".join(f"{reward:.2f}" for reward in rewards))
    assert len(rewards) == 16
    # The standard error of a step of 128 rollouts is 0.044.
    assert sum(rewards[-3:]) / 3 > sum(rewards[:2]) / 2 + 0.15
    assert all(values[m.ROLLOUT_ACTOR_CORR] > 0.99 for values in steps.values())


def test_every_program_has_a_result(run: Run) -> None:
    records = [json.loads(line) for step in range(1, 17) for line in (run.folder / "records" / f"{step}.jsonl").open()]
    statuses = Counter(record["status"] for record in records)
    print("statuses:", dict(statuses))
    assert statuses["correct"] == sum(record["reward"] for record in records)
    assert set(statuses) <= {"correct", "wrong", "no_answer"}
    assert len({record["persona"] for record in records}) == len(load_pool("train"))
