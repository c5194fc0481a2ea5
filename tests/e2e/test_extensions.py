"""Persona sampling, cross-persona groups and refills in verl: a killed run has the steps of an undisturbed one."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from permix_verl import load_pool
from permix_verl.runs import metrics as m

from .conftest import SAMPLES, Recipe, Run, kill_everything, wait_for

KEYS = (
    "permix.groups=personas",
    "permix.persona_sampling=group-dro",
    "permix.dynamic_sampling=refill",
    "permix.dynamic_sampling_rounds=1",
)
SHORT = {"LAB_PROBLEMS": "72", "SAVE_FREQ": "1", "TEST_FREQ": "1000"}
STEPS = 4
"""The lab's recipe in 4 steps of 16 problems."""


@pytest.fixture(scope="module")
def whole(recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return recipe("run_permix_grpo.sh", tmp_path_factory.mktemp("whole") / "run", *KEYS, **SHORT).check()


@pytest.fixture(scope="module")
def killed(recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Killed behind the second checkpoint; the second launch has two loader workers."""
    folder = tmp_path_factory.mktemp("killed") / "run"

    def kill() -> None:
        wait_for(lambda: (folder / "checkpoints" / "latest_checkpointed_iteration.txt").is_file())
        wait_for(lambda: (folder / "checkpoints" / "latest_checkpointed_iteration.txt").read_text() == "2")
        kill_everything(folder)

    assert recipe("run_permix_grpo.sh", folder, *KEYS, meanwhile=kill, **SHORT).status != 0
    workers = "data.dataloader_num_workers=2"
    return recipe("run_permix_grpo.sh", folder, *KEYS, workers, **SHORT).check()


def records(run: Run) -> dict[int, list[dict[str, Any]]]:
    files = sorted((run.folder / "records").glob("*.jsonl"), key=lambda file: int(file.stem))
    return {int(file.stem): list(map(json.loads, file.read_text().splitlines())) for file in files}


def test_a_group_is_one_problem_under_as_many_personas(whole: Run) -> None:
    steps = records(whole)
    assert list(steps) == list(range(1, STEPS + 1))
    for rows in steps.values():
        groups: dict[str, list[dict[str, Any]]] = {}
        for row in rows:
            groups.setdefault(row["group"], []).append(row)
        assert len(groups) == 16
        for group in groups.values():
            assert len({row["row_id"] for row in group}) == 1
            assert sorted(row["sample"] for row in group) == list(range(SAMPLES))
            assert len({row["persona"] for row in group}) == SAMPLES
        assert len({row["seed"] for row in rows}) == len(rows)


def test_each_rollout_was_sampled_and_scored_under_its_persona(whole: Run) -> None:
    texts = {persona.key: persona.system_prompt for persona in load_pool("train")}
    for step, rows in records(whole).items():
        dump = {
            row["uid"]: row
            for row in map(json.loads, (whole.folder / "rollouts" / f"{step}.jsonl").read_text().splitlines())
        }
        for row in rows:
            assert texts[row["persona"]] in dump[row["key"]]["input"]
            assert row["reward"] == dump[row["key"]]["score"]


def test_replaced_groups_count_as_rollouts(whole: Run) -> None:
    steps = m.training_steps(whole.metrics)
    replaced = [values["sampling/replaced_groups"] for values in steps.values()]
    assert sum(replaced) > 0
    for values in steps.values():
        assert values["sampling/rollouts"] == SAMPLES * (16 + values["sampling/replaced_groups"])
        by_persona = sum(value for name, value in values.items() if name.startswith("sampling/replaced/"))
        assert by_persona == SAMPLES * values["sampling/replaced_groups"]


def test_the_advantage_is_over_the_problem(whole: Run) -> None:
    """With verl's own groups, of one rollout each, every advantage would be the reward itself."""
    for values in m.training_steps(whole.metrics).values():
        assert abs(values["critic/advantages/mean"]) < 0.3
        assert values["critic/advantages/min"] < 0
        assert values["actor/grad_norm"] > 0


def test_a_killed_run_has_the_rewards_personas_and_weights_of_an_undisturbed_one(whole: Run, killed: Run) -> None:
    def comparable(run: Run) -> dict[int, Counter[tuple[Any, ...]]]:
        fields = ("row_id", "epoch", "persona", "sample", "seed", "reward", "tokens")
        return {step: Counter(tuple(row[f] for f in fields) for row in rows) for step, rows in records(run).items()}

    assert comparable(killed) == comparable(whole)
    for step, values in m.training_steps(whole.metrics).items():
        again = m.training_steps(killed.metrics)[step]
        assert {name: value for name, value in again.items() if name.startswith("sampling/")} == {
            name: value for name, value in values.items() if name.startswith("sampling/")
        }


def test_a_run_is_not_resumed_with_other_extensions(recipe: Recipe, killed: Run) -> None:
    refused = recipe("run_permix_grpo.sh", killed.folder, *KEYS[1:], **SHORT)
    assert refused.status == 2
    assert "permix.groups" in refused.output


def test_the_folder_keeps_the_states(killed: Run) -> None:
    folder = killed.folder / "checkpoints" / f"global_step_{STEPS}"
    state = json.loads(Path(folder / "extensions.json").read_text())
    assert set(state) == {"PersonaSampling"}
