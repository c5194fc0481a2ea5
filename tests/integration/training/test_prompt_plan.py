"""Prompts of a step as extensions change them: verl's batches from the real dataset, and the state in checkpoints."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from transformers import AutoTokenizer

from permix_verl import load_pool
from permix_verl.cli import prep
from permix_verl.config.extension_keys import DEFAULTS
from permix_verl.data.rl_dataset import PersonaMixDataset
from permix_verl.errors import UserError
from permix_verl.lab.base_model import MODEL
from permix_verl.lab.problems import generate
from permix_verl.personas.pool import NO_PERSONA
from permix_verl.training.hooks.buffer_hooks import RunContext
from permix_verl.training.methods.extension import Extension, Prompt
from permix_verl.training.methods.group_advantage import group_advantage
from permix_verl.training.methods.prompt_plan import STATE_FILE, PromptPlan
from permix_verl.training.methods.registry import extensions
from permix_verl.training.observability.persona_metrics import Rollout

ROWS, BATCH, SAMPLES = 20, 4, 8
TEXTS = {persona.key: persona.system_prompt for persona in load_pool("train")}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> PersonaMixDataset:
    folder = tmp_path_factory.mktemp("rows")
    file = folder / "problems.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in generate(ROWS + 4, "easy", "train")))
    prep.main(
        [
            *("--data", str(file), "--tokenizer", str(MODEL), "--val-problems", "4", "--max-prompt-length", "400"),
            *("--out", str(folder / "data")),
        ]
    )
    config = OmegaConf.create({"max_prompt_length": 400, "filter_overlong_prompts": False, "epochs": 2})
    tokenizer = AutoTokenizer.from_pretrained(MODEL)
    return PersonaMixDataset([str(folder / "data" / "train.parquet")], tokenizer, config)


class FakeTrainer:
    """verl's trainer, as far as prompts go; batches come from the real dataset through verl's collation."""

    def __init__(self, dataset: PersonaMixDataset, folder: Path, **keys: Any) -> None:
        self.train_dataset, self.global_steps, self.trainer_mode = dataset, 1, "sync"
        self.submitted: list[Any] = []
        self.config = OmegaConf.create(
            {
                "permix": {**DEFAULTS, **keys},
                "actor_rollout_ref": {"rollout": {"n": SAMPLES}},
                "algorithm": {"adv_estimator": "grpo"},
                "trainer": {"resume_mode": "auto", "default_local_dir": str(folder)},
            }
        )

    def _next_train_batch(self, num_prompts: int | None = None) -> Any:
        from verl.utils import tensordict_utils as tu
        from verl.utils.dataset.rl_dataset import collate_fn

        start = (self.global_steps - 1) * BATCH
        columns = collate_fn([self.train_dataset[item] for item in range(start, start + BATCH)])
        columns["uid"] = np.array([f"uid-{item}" for item in range(start, start + BATCH)], dtype=object)
        batch = tu.get_tensordict(columns)
        tu.assign_non_tensor_data(batch, "global_steps", self.global_steps)
        return batch

    def _submit_batch_to_rollout(self, batch: Any) -> int:
        self.submitted.append(batch)
        return len(batch)


def planned(trainer: FakeTrainer, *own: Extension) -> PromptPlan:
    run = RunContext(trainer, {}, None, 0, print)
    plan = PromptPlan(trainer, [*extensions(run), *own], 0)
    plan.attach()
    return plan


def personas_in(batch: Any) -> list[str]:
    """Return the personas whose texts are in the prompts."""
    chats = list(batch["raw_prompt"])
    return [next((key for key, text in TEXTS.items() if chat[0]["content"] == text), NO_PERSONA) for chat in chats]


def test_without_a_change_verls_batch_goes_on_as_it_is(dataset: PersonaMixDataset, tmp_path: Path) -> None:
    trainer = FakeTrainer(dataset, tmp_path)
    plain = trainer._next_train_batch()
    plan = planned(trainer, Extension(RunContext(trainer, {}, None, 0, print)))
    batch = trainer._next_train_batch()
    assert list(batch["uid"]) == list(plain["uid"]) == list(plan.by_uid)
    assert "__rollout_n__" not in batch
    assert [prompt.persona for prompt in plan.by_uid.values()] == personas_in(batch)


def test_cross_persona_groups_are_prompts_of_one_rollout(dataset: PersonaMixDataset, tmp_path: Path) -> None:
    trainer = FakeTrainer(dataset, tmp_path, groups="personas", no_persona_in_group=True)
    plan = planned(trainer)
    batch = trainer._next_train_batch()
    prompts = list(plan.by_uid.values())
    assert len(batch) == BATCH * SAMPLES == len(prompts)
    assert list(batch["uid"]) == list(plan.by_uid)
    assert {int(n) for n in list(batch["__rollout_n__"])} == {1}
    assert personas_in(batch) == [prompt.persona for prompt in prompts]
    assert len({prompt.group for prompt in prompts}) == BATCH
    infos = list(batch["extra_info"])
    assert [(i["row_id"], i["persona"], i["first_sample"]) for i in infos] == [
        (p.row_id, p.persona, p.first) for p in prompts
    ]
    questions = [chat[-1]["content"] for chat in list(batch["raw_prompt"])]
    assert all(len(set(questions[start : start + SAMPLES])) == 1 for start in range(0, BATCH * SAMPLES, SAMPLES))
    assert len(set(questions)) == BATCH
    assert len(batch.chunk(2)) == 2, "verl divides a batch among its agent loop workers"


def test_a_row_under_its_own_draw_is_the_row_of_the_data(dataset: PersonaMixDataset) -> None:
    for item in (0, 7, ROWS + 3):
        row = dataset[item]
        info = row["extra_info"]
        again = dataset.row_under(info["row_id"], info["epoch"], info["persona"])
        assert again["raw_prompt"] == row["raw_prompt"]
        assert again["reward_model"] == row["reward_model"]
        assert dataset.drawn_persona(info["row_id"], info["epoch"]) == info["persona"]
    others = {dataset.drawn_persona(dataset.row_ids[0], 0, salt) for salt in range(100)}
    assert len(others) > 15


def test_refills_are_fresh_rows_of_the_epoch_and_the_same_each_time(dataset: PersonaMixDataset, tmp_path: Path) -> None:
    taken = []
    for folder in (tmp_path / "one", tmp_path / "other"):
        trainer = FakeTrainer(dataset, folder, dynamic_sampling="refill")
        plan = planned(trainer)
        trainer._next_train_batch()
        first = [prompt.row_id for prompt in plan.by_uid.values()]
        assert plan.refill(1, 1, 3) == 3
        assert plan.refill(1, 2, 2) == 2
        rows = [info["row_id"] for batch in trainer.submitted for info in list(batch["extra_info"])]
        assert len({*first, *rows}) == BATCH + 5, "each row once"
        assert len(plan.by_uid) == BATCH + 5
        taken.append([(p.row_id, p.persona, p.redrawn) for p in plan.by_uid.values()])
        assert plan.refill(1, 3, ROWS) == ROWS, "rows come again where no other is left"
    assert taken[0] == taken[1]
    assert len({redrawn for _, _, redrawn in taken[0]}) == 3


def test_refills_are_grouped_like_the_step(dataset: PersonaMixDataset, tmp_path: Path) -> None:
    trainer = FakeTrainer(dataset, tmp_path, dynamic_sampling="refill", groups="personas")
    plan = planned(trainer)
    trainer._next_train_batch()
    assert plan.refill(1, 1, 2) == 2 * SAMPLES
    assert len({prompt.group for prompt in plan.by_uid.values()}) == BATCH + 2


def some_rollouts(plan: PromptPlan) -> list[Rollout]:
    return [
        Rollout(uid, uid, p.first, p.row_id, p.epoch, p.persona, float(n % 3 == 0), 5, acc=float(n % 3 == 0))
        for n, (uid, p) in enumerate(plan.by_uid.items())
    ]


def test_a_resumed_run_has_the_prompts_of_an_undisturbed_one(dataset: PersonaMixDataset, tmp_path: Path) -> None:
    def prompts_of(folder: Path, steps: Sequence[int]) -> list[list[Prompt]]:
        trainer = FakeTrainer(dataset, folder, groups="personas", persona_sampling="group-dro")
        plan = planned(trainer)
        found = []
        for trainer.global_steps in steps:
            trainer._next_train_batch()
            found.append([replace(prompt, group="") for prompt in plan.by_uid.values()])
            for extension in plan.extensions:
                extension.on_rollouts(trainer.global_steps, some_rollouts(plan))
            checkpoint = folder / f"global_step_{trainer.global_steps}"
            checkpoint.mkdir(parents=True)
            plan.save(checkpoint)
        return found

    whole = prompts_of(tmp_path / "whole", range(1, 9))
    parts = [steps for part in ([1, 2, 3], [4], [5, 6, 7, 8]) for steps in prompts_of(tmp_path / "parts", part)]
    assert parts == whole, "steps 6 to 8 are of the second epoch"
    state = json.loads((tmp_path / "parts" / "global_step_8" / STATE_FILE).read_text())
    assert state == json.loads((tmp_path / "whole" / "global_step_8" / STATE_FILE).read_text())
    (tmp_path / "parts" / "global_step_8" / STATE_FILE).unlink()
    with pytest.raises(UserError, match=r"has no state of PersonaSampling, so the steps up to 8 were trained without"):
        prompts_of(tmp_path / "parts", [9])


def test_an_extension_that_changes_the_number_of_samples_is_refused(dataset: PersonaMixDataset, tmp_path: Path) -> None:
    class Greedy(Extension):
        def on_submit(self, step: int, prompts: Sequence[Prompt]) -> Sequence[Prompt]:
            return [replace(prompt, rollouts=prompt.rollouts + 1) for prompt in prompts]

    trainer = FakeTrainer(dataset, tmp_path)
    planned(trainer, Greedy(RunContext(trainer, {}, None, 0, print)))
    with pytest.raises(RuntimeError, match=r"Greedy\.on_submit changes the number of samples"):
        trainer._next_train_batch()


def test_an_own_extension_is_loaded_by_path(dataset: PersonaMixDataset, tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        "from permix_verl.training.methods.extension import Extension\n\n\nclass Mine(Extension):\n    pass\n\n\n"
        "class Other:\n    pass\n"
    )
    trainer = FakeTrainer(dataset, tmp_path, extensions=[f"{file}:Mine"], groups="personas")
    run = RunContext(trainer, {}, None, 0, print)
    assert [type(one).__name__ for one in extensions(run)] == ["CrossPersonaGroups", "Mine"]
    for name, said in (("Other", "is no Extension"), ("Missing", "cannot be loaded")):
        trainer.config.permix.extensions = [f"{file}:{name}"]
        with pytest.raises(UserError, match=said):
            extensions(run)
    trainer.config.permix.extensions = []
    trainer.config.permix.groups = "people"
    with pytest.raises(UserError, match=r"permix\.groups=people: no such value; known: rows personas"):
        extensions(run)


@pytest.mark.parametrize("by_deviation", [True, False])
def test_the_advantage_is_verls(by_deviation: bool) -> None:
    from verl.trainer.ppo.core_algos import compute_grpo_outcome_advantage

    generator = np.random.default_rng(4)
    groups = [f"g{number}" for number in generator.integers(0, 12, 64)]
    rewards = generator.integers(0, 2, 64).astype(float)
    mask = torch.ones(64, 3)
    tokens = torch.zeros(64, 3)
    tokens[:, -1] = torch.tensor(rewards)
    wanted, _ = compute_grpo_outcome_advantage(
        tokens, mask, np.array(groups, dtype=object), norm_adv_by_std_in_grpo=by_deviation
    )
    found = group_advantage(rewards, groups, by_deviation)
    alone = np.array([groups.count(group) == 1 for group in groups])
    assert found[~alone] == pytest.approx(wanted[:, 0].numpy()[~alone], abs=1e-5)
