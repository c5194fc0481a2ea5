"""Whole runs of what docs/data.md and docs/templates.md promise: kills while mixing at load time, templates adapted.

By hand, about 10 to 16 minutes on 2 cores:

.venv/bin/python -m pytest tests/soak/test_mixing_and_templates.py -s --basetemp=runs/soak \
    | tee docs/soak/mixing_and_templates.log
"""

import datetime
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from permix_verl import load_pool
from permix_verl.lab.base_model import MODEL
from permix_verl.runs.folder import RunFolder

from ..e2e.conftest import Recipe, Run, dumped, kill_everything, recipe, wait_for  # noqa: F401
from ..support.data_shapes import answer, question, write

STEPS = 6
KNOBS = {"BATCH": "8", "ROLLOUTS": "4", "PROMPT_LENGTH": "320", "RESPONSE_LENGTH": "32", "SAVE_FREQ": "1"}
OVERRIDES = [
    f"trainer.total_training_steps={STEPS}",
    "trainer.val_before_train=False",
    "trainer.test_freq=-1",
    "data.dataloader_num_workers=2",
]


def plain_rows(count: int) -> list[dict[str, Any]]:
    """Return rows of verl's schema without personas or ids.

    The lab's base can solve some of them: a run whose rewards are all 0 ends with status 3, and would compare nothing.
    """
    return [
        {
            "data_source": "pears",
            "prompt": [{"role": "user", "content": question(n)}],
            "ability": "math",
            "reward_model": {"style": "rule", "ground_truth": answer(n)},
        }
        for n in range(count)
    ]


def test_mixing_at_load_time_goes_on_after_kills(recipe: Recipe, tmp_path: Path) -> None:  # noqa: F811
    """Killed as a whole machine would go down, at two steps of two epochs: the same (problem, persona) pairs."""
    file = write(tmp_path / "rows.parquet", plain_rows(24))
    keys = [f"data.train_files={file}", *OVERRIDES]
    undisturbed = recipe("run_permix_grpo.sh", tmp_path / "undisturbed", *keys, EPOCHS="2", **KNOBS).check()
    folder = tmp_path / "run"
    for saved in (2, 4):

        def kill_after_a_save(saved: int = saved) -> None:
            wait_for(lambda: last_saved(folder) >= saved)
            kill_everything(folder)

        killed = recipe("run_permix_grpo.sh", folder, *keys, meanwhile=kill_after_a_save, EPOCHS="2", **KNOBS)
        assert killed.status != 0
        assert last_saved(folder) < STEPS
    finished = recipe("run_permix_grpo.sh", folder, *keys, EPOCHS="2", **KNOBS).check()
    assert dumped(finished.folder) == dumped(undisturbed.folder)
    assert list(dumped(finished.folder)) == list(range(1, STEPS + 1))
    assert rewards(finished) == rewards(undisturbed)


def last_saved(folder: Path) -> int:
    tracker = RunFolder(folder).tracker
    return int(tracker.read_text()) if tracker.is_file() else 0


def rewards(run: Run) -> dict[int, float]:
    return {step: values["critic/score/mean"] for step, values in run.metrics.items() if step}


REFUSES_SYSTEM = """{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system role') }}{% endif %}"""
TODAY = """{{ '<|start_header_id|>clock<|end_header_id|>\n\n' + strftime_now('%d %b %Y') + '<|eot_id|>' }}"""


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return Path(shutil.copytree(MODEL, tmp_path / "model"))


@pytest.mark.parametrize("kind", ["refuses the system role", "prints the day"])
def test_an_adapted_template_is_that_of_the_rollouts(
    recipe: Recipe,  # noqa: F811
    model: Path,
    kind: str,
    tmp_path: Path,
) -> None:
    template = model / "chat_template.jinja"
    template.write_text((REFUSES_SYSTEM if kind == "refuses the system role" else TODAY) + template.read_text())
    file = write(tmp_path / "rows.jsonl", plain_rows(24))
    keys = [f"data.train_files={file}", *OVERRIDES[1:], "trainer.total_training_steps=2"]
    run = recipe("run_permix_grpo.sh", tmp_path / "run", *keys, MODEL=str(model), LAB="1", **KNOBS).check()
    personas = {persona.system_prompt for persona in load_pool("train")}
    lines = [json.loads(line) for line in (run.folder / "rollouts" / "1.jsonl").read_text().splitlines()]
    assert len(lines) == 32
    for line in lines:
        text = line["input"]
        assert sum(persona in text for persona in personas) == 1
        if kind == "refuses the system role":
            assert "system" not in text.splitlines()[0]
            assert text.startswith("user")
        else:
            assert text.startswith("clock\n\n26 Jul 2024")
            assert f"{datetime.date.today():%d %b %Y}" not in text


def test_without_the_adaptation_such_a_template_is_refused(recipe: Recipe, model: Path, tmp_path: Path) -> None:  # noqa: F811
    """SYSTEM_ROLE=system asks for the model's own template: the run ends before anything is trained."""
    template = model / "chat_template.jinja"
    template.write_text(REFUSES_SYSTEM + template.read_text())
    file = write(tmp_path / "rows.jsonl", plain_rows(24))
    run = recipe(
        "run_permix_grpo.sh",
        tmp_path / "run",
        f"data.train_files={file}",
        *OVERRIDES[1:],
        MODEL=str(model),
        LAB="1",
        SYSTEM_ROLE="system",
        **KNOBS,
    )
    assert run.status != 0
    assert "no system role" in run.output
    assert not (run.folder / "rollouts").exists()
