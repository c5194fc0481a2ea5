"""The prompts of a step as a run's extensions change them, between verl's data loader and its agent loops.

verl's trainer takes the rows of a step from its data loader in ``_next_train_batch``, which is wrapped here. Without a
change the rows go on as they are; otherwise they are made again from the dataset, by row, epoch and persona. So what a
data loader has read ahead, with however many workers, does not matter.
"""

import json
import uuid
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from permix_verl.errors import UserError
from permix_verl.personas.mixing import epoch_order
from permix_verl.seeding import derive_seed
from permix_verl.training.methods.extension import Extension, Prompt
from permix_verl.utils.files import write_atomic

STATE_FILE = "extensions.json"
"""File of a checkpoint with the state of each extension that has one."""


class PromptPlan:
    """Submits prompts, and knows which prompt each of verl's prompt ids is.

    Args:
        trainer: verl's trainer.
        extensions: in the order in which they change the prompts.
        seed: seed of the run.

    Attributes:
        by_uid: verl's id -> prompt, of the current step.
    """

    def __init__(self, trainer: Any, extensions: Sequence[Extension], seed: int) -> None:
        self.trainer, self.extensions, self.seed = trainer, tuple(extensions), seed
        self.by_uid: dict[str, Prompt] = {}
        self._taken: list[Prompt] = []
        self._loaded = False

    def attach(self) -> None:
        """Wrap the trainer's source of prompts."""
        original = self.trainer._next_train_batch

        def planned(num_prompts: int | None = None) -> Any:
            return self._planned(original(num_prompts))

        self.trainer._next_train_batch = planned

    def _planned(self, batch: Any) -> Any:
        step = self.trainer.global_steps
        self._load(step)
        rollouts = self.trainer.config.actor_rollout_ref.rollout.n
        infos, uids = list(batch["extra_info"]), list(batch["uid"])
        given = [
            Prompt(str(info["row_id"]), int(info["epoch"]), str(info["persona"]), uid, rollouts)
            for info, uid in zip(infos, uids, strict=True)
        ]
        prompts = self._changed(step, given)
        self._taken = prompts
        if prompts == given:
            self.by_uid = dict(zip(uids, given, strict=True))
            return batch
        self.by_uid = {}
        return self._batch(prompts)

    def _changed(self, step: int, given: Sequence[Prompt]) -> list[Prompt]:
        """Return the prompts after all extensions.

        Raises:
            RuntimeError: an extension has changed the number of a group's samples, which verl's batch depends on.
        """
        prompts = list(given)
        for extension in self.extensions:
            prompts = list(extension.on_submit(step, prompts))
            if _samples(prompts) != _samples(given):
                raise RuntimeError(f"{type(extension).__name__}.on_submit changes the number of samples of a group")
        return prompts

    def refill(self, step: int, round_number: int, count: int) -> int:
        """Submit fresh groups of the step's epoch instead of groups that taught nothing.

        Rows that the step has taken already come only if no other is left. A row's persona is drawn anew.

        Args:
            round_number: 1, 2, ... within the step.

        Returns:
            Number of prompts submitted.
        """
        dataset = self.trainer.train_dataset
        epoch = max(prompt.epoch for prompt in self._taken)
        order = epoch_order(dataset.row_ids, derive_seed("permix.refill", self.seed, step, str(round_number)), epoch)
        taken = {prompt.row_id for prompt in self._taken}
        rows = [dataset.row_ids[place] for place in order]
        chosen = [*(row for row in rows if row not in taken), *(row for row in rows if row in taken)][:count]
        salt = (step << 8) + round_number
        rollouts = self.trainer.config.actor_rollout_ref.rollout.n
        given = [
            Prompt(row, epoch, dataset.drawn_persona(row, epoch, salt), str(uuid.uuid4()), rollouts, redrawn=salt)
            for row in chosen
        ]
        prompts = self._changed(step, given)
        self._taken += prompts
        self.trainer._submit_batch_to_rollout(self._batch(prompts))
        return len(prompts)

    def _batch(self, prompts: Sequence[Prompt]) -> Any:
        """Return verl's batch of prompts, and remember their ids."""
        from verl.utils import tensordict_utils as tu
        from verl.utils.dataset.rl_dataset import collate_fn

        rows = []
        for prompt in prompts:
            row = self.trainer.train_dataset.row_under(prompt.row_id, prompt.epoch, prompt.persona, prompt.redrawn)
            row["extra_info"] = {**row["extra_info"], "first_sample": prompt.first, "redrawn": prompt.redrawn}
            rows.append({**row, "__rollout_n__": prompt.rollouts})
        columns = collate_fn(rows)
        uids = [str(uuid.uuid4()) for _ in prompts]
        self.by_uid |= dict(zip(uids, prompts, strict=True))
        columns["uid"] = np.array(uids, dtype=object)
        batch = tu.get_tensordict(columns)
        tu.assign_non_tensor_data(batch, "global_steps", self.trainer.global_steps)
        return batch

    def save(self, checkpoint: Path) -> None:
        """Write the state of the extensions into a checkpoint."""
        states = {type(extension).__name__: extension.state() for extension in self.extensions}
        states = {name: state for name, state in states.items() if state}
        if states:
            write_atomic(checkpoint / STATE_FILE, json.dumps(states, ensure_ascii=False) + "\n")

    def _load(self, step: int) -> None:
        """Load the state of the checkpoint that a launch goes on from, once.

        Raises:
            UserError: the checkpoint lacks the state of an extension, so it was not trained with it.
        """
        if self._loaded:
            return
        self._loaded = True
        self.trainer.train_dataset.check_every_persona()
        if step <= 1:
            return
        file = self._checkpoint(step - 1) / STATE_FILE
        states = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
        for extension in self.extensions:
            name = type(extension).__name__
            if name in states:
                extension.load_state(states[name])
            elif extension.state():
                raise UserError(
                    f"{file} has no state of {name}, so the steps up to {step - 1} were trained without it",
                    "start a new run (another RUN_DIR), or give the settings that this one was started with",
                )

    def _checkpoint(self, step: int) -> Path:
        settings = self.trainer.config.trainer
        if settings.resume_mode == "resume_path":
            return Path(settings.resume_from_path)
        return Path(settings.default_local_dir) / f"global_step_{step}"


def _samples(prompts: Sequence[Prompt]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for prompt in prompts:
        counts[prompt.group] += prompt.rollouts
    return counts
