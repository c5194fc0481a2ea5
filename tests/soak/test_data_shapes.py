"""From a file in the form of each public data set to three GRPO steps and an evaluation, as in docs/data.md.

By hand, about 25 minutes on 2 cores; the problems are our own, the columns and the form of the golds as published:

.venv/bin/python -m pytest tests/soak/test_data_shapes.py -s --basetemp=runs/soak | tee docs/soak/data_shapes.log
"""

import json
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from permix_verl.lab.base_model import MODEL
from permix_verl.runs import metrics as m

from ..e2e.conftest import ROOT, Recipe, Run, recipe  # noqa: F401
from ..support.data_shapes import SHAPES, records, write
from ..support.evaluations import command, done, rows
from ..support.verl_rows import dapo, deepscaler, openr1

STEPS, BATCH, SAMPLES = 3, 8, 8
PROBLEMS = 30
KNOBS = {
    "MODEL": str(MODEL),
    "BATCH": str(BATCH),
    "ROLLOUTS": str(SAMPLES),
    "PROMPT_LENGTH": "320",
    "RESPONSE_LENGTH": "48",
    "VAL_PROBLEMS": "2",
    "DEV_PERSONAS": "3",
}
OVERRIDES = [f"trainer.total_training_steps={STEPS}", "trainer.val_before_train=False"]


VERL_SHAPES: Mapping[str, tuple[Callable[[int], dict[str, Any]], list[str]]] = {
    "dapo": (dapo, []),
    "deepscaler": (deepscaler, []),
    "openr1": (openr1, ["+data.permix.system_message=append"]),
}
"""Name -> function to a row that follows verl's schema already, and what rows with a system message need."""


def trained_on_personas(run: Run, source: str, words: str) -> None:
    """Check three steps whose counters by persona add up to all rollouts, in the metrics and in verl's dumps."""
    steps = m.training_steps(run.metrics)
    assert list(steps) == [1, 2, 3]
    for number, values in steps.items():
        counted = {
            name: value for name, value in values.items() if name.startswith("persona/") and name.endswith("/rollouts")
        }
        assert sum(counted.values()) == BATCH * SAMPLES, (source, number, counted)
        assert sum(value > 0 for value in counted.values()) >= 2, "several personas"
        dumped = (run.folder / "rollouts" / f"{number}.jsonl").read_text().splitlines()
        assert len(dumped) == BATCH * SAMPLES
        shown = Counter(json.loads(line)["input"] for line in dumped)
        assert sum(words in text for text in shown) == len(shown)


def evaluated(run: Run, task: str, folder: Path) -> None:
    """Evaluate the trained adapter on the same file, and check that each problem has every persona."""
    done(
        command(
            "run.py", "--model", MODEL, "--adapter", run.folder / "adapter", "--tasks", task, "--out", folder,
            "--limit", 4, "--runs", 1, "--max-tokens", 48,
        )
    )  # fmt: skip
    kept = rows(folder)
    assert len(kept) == 4 * 17
    assert set(Counter(row["persona"] for row in kept).values()) == {4}


@pytest.mark.parametrize("preset", SHAPES)
def test_a_preset_goes_from_its_file_to_an_evaluation(recipe: Recipe, preset: str, tmp_path: Path) -> None:  # noqa: F811
    file = write(tmp_path / "rows.parquet", records(preset, PROBLEMS))
    run = recipe("run_permix_grpo.sh", tmp_path / "run", *OVERRIDES, DATA=f"{file},preset={preset}", **KNOBS).check()
    trained_on_personas(run, preset, "pears")
    evaluated(run, f"own={file},preset={preset}", tmp_path / "results")


@pytest.mark.parametrize("shape", VERL_SHAPES)
def test_rows_of_verls_schema_get_personas_as_they_load(recipe: Recipe, shape: str, tmp_path: Path) -> None:  # noqa: F811
    make, more = VERL_SHAPES[shape]
    made = [make(number) for number in range(PROBLEMS)]
    file = write(tmp_path / "rows.parquet", made)
    validation = tmp_path / "val.parquet"
    policy = ["--system-message", "append"] if more else []
    mixing = [
        sys.executable,
        "-m",
        "permix_verl.cli.main",
        "mix",
        "--in",
        write(tmp_path / "held_out.parquet", made[-2:]),
    ]
    done(list(map(str, [*mixing, "--out", validation, "--every-persona", "--val-personas", 3, *policy])))
    keys = [f"data.train_files={file}", f"data.val_files={validation}", *more, *OVERRIDES]
    run = recipe("run_permix_grpo.sh", tmp_path / "run", *keys, **KNOBS).check()
    trained_on_personas(run, shape, "What is ")
    asked = write(tmp_path / "asked.jsonl", [{**row, "prompt": row["prompt"][-1:]} for row in made])
    evaluated(run, f"own={asked}", tmp_path / "results")  # an evaluation's system messages are its personas alone
