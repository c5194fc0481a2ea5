"""The steps of a run with extensions (``permix_verl.training.methods``): prompts, refills, advantages.

Without extensions nothing of verl's is wrapped, and every call here leaves things as they are.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import transfer_queue as tq
from transfer_queue import KVBatchMeta

from permix_verl.errors import UserError
from permix_verl.training.hooks.buffer_hooks import RunContext
from permix_verl.training.hooks.rollout_batch import read_rollouts
from permix_verl.training.methods.extension import Extension
from permix_verl.training.methods.prompt_plan import PromptPlan
from permix_verl.training.methods.registry import extensions
from permix_verl.training.observability.persona_metrics import Rollout

Wait = Callable[[int, str, int], tuple[KVBatchMeta, dict[str, Any]]]


class ExtendedSteps:
    """The extensions of a run, and what they change of a step.

    Attributes:
        extensions: in the order in which they change the prompts; empty in most runs.

    Raises:
        UserError: an unknown extension, or a setting of verl that it does not work with.
    """

    def __init__(self, run: RunContext) -> None:
        self.run = run
        self.extensions: list[Extension] = extensions(run)
        self.plan = PromptPlan(run.trainer, self.extensions, run.seed)
        self._advantages: dict[str, float] = {}
        self._refills = any(type(one).teaches_nothing is not Extension.teaches_nothing for one in self.extensions)
        self._has_advantage = any(type(one).advantages is not Extension.advantages for one in self.extensions)
        if self.extensions:
            _refuse_unfit(run, self._has_advantage)

    def attach(self) -> None:
        """Wrap the trainer's methods that a step with extensions changes."""
        if not self.extensions:
            return
        trainer = self.run.trainer
        self.plan.attach()
        save = trainer._save_checkpoint

        def saved() -> None:
            # First: once verl has named the checkpoint as the latest one, a resume needs the state.
            folder = Path(trainer.config.trainer.default_local_dir) / f"global_step_{trainer.global_steps}"
            folder.mkdir(parents=True, exist_ok=True)
            self.plan.save(folder)
            save()

        trainer._save_checkpoint = saved
        if self._has_advantage:
            compute = trainer._compute_advantage

            def replaced(batch: KVBatchMeta, metrics: dict[str, Any]) -> KVBatchMeta:
                return self._replace_advantages(compute(batch, metrics=metrics))

            trainer._compute_advantage = replaced

    def prompts(self, batch_size: int) -> int:
        """Return the number of prompts that a step waits for."""
        return len(self.plan.by_uid) if self.extensions else batch_size

    def read(self, batch: KVBatchMeta) -> list[Rollout]:
        """Return the batch's rollouts, in batch order, with their groups."""
        return read_rollouts(batch, self.plan.by_uid)

    def refilled(self, step: int, batch: KVBatchMeta, wait: Wait) -> tuple[KVBatchMeta, Mapping[str, float]]:
        """Replace groups that teach nothing by fresh ones, for the number of rounds that the configuration allows.

        Args:
            wait: waits for the rollouts of a number of prompts.

        Returns:
            The batch, with as many groups, and metrics.
        """
        if not self._refills:
            return batch, {}
        generated, replaced = len(batch.keys), 0
        dropped: list[Rollout] = []
        for round_number in range(1, int(self.run.trainer.config.permix.dynamic_sampling_rounds) + 1):
            groups = self._groups(batch)
            useless = [name for name, group in groups.items() if self._teaches_nothing(step, group)]
            if not useless:
                break
            gone = [rollout for name in useless for rollout in groups[name]]
            dropped += gone
            replaced += len(useless)
            keys = {rollout.key for rollout in gone}
            tq.kv_clear(keys=sorted(keys), partition_id=batch.partition_id)
            count = self.plan.refill(step, round_number, len(useless))
            more, _ = wait(step, batch.partition_id, count)
            generated += len(more.keys)
            batch = _joined(batch, keys, more)
        for extension in self.extensions:
            extension.on_dropped(step, dropped)
        return batch, {"sampling/rollouts": float(generated), "sampling/replaced_groups": float(replaced)}

    def _groups(self, batch: KVBatchMeta) -> dict[str, list[Rollout]]:
        """Return the batch's rollouts by group, in an order that does not depend on timing."""
        rollouts = sorted(self.read(batch), key=lambda one: (one.row_id, one.epoch, one.sample))
        groups: dict[str, list[Rollout]] = {}
        for rollout in rollouts:
            groups.setdefault(rollout.compared_with, []).append(rollout)
        return groups

    def _teaches_nothing(self, step: int, group: Sequence[Rollout]) -> bool:
        return any(extension.teaches_nothing(step, group) for extension in self.extensions)

    def set_rollouts(self, rollouts: Sequence[Rollout]) -> None:
        """Take the step's rollouts, from which the advantages are computed."""
        self._advantages = {}
        for extension in self.extensions:
            values = extension.advantages(self.run.trainer.global_steps, rollouts)
            if values is not None:
                self._advantages = {one.key: float(value) for one, value in zip(rollouts, values, strict=True)}

    def _replace_advantages(self, batch: KVBatchMeta) -> KVBatchMeta:
        """Write the step's advantages over verl's; rows that verl has added to fill the batch get 0."""
        import torch
        from tensordict import TensorDict

        if not self._advantages:
            return batch
        masks = tq.kv_batch_get(keys=batch.keys, partition_id=batch.partition_id, select_fields=["response_mask"])[
            "response_mask"
        ].unbind()
        values = [self._advantages.get(key, 0.0) * mask.float() for key, mask in zip(batch.keys, masks, strict=True)]
        nested = torch.nested.as_nested_tensor(values, layout=torch.jagged)
        fields = TensorDict({"advantages": nested, "returns": nested.clone()}, batch_size=len(batch.keys))
        return tq.kv_batch_put(keys=batch.keys, partition_id=batch.partition_id, fields=fields)


def _joined(batch: KVBatchMeta, without: set[str], more: KVBatchMeta) -> KVBatchMeta:
    kept = [(key, tag) for key, tag in zip(batch.keys, batch.tags, strict=True) if key not in without]
    pairs = [*kept, *zip(more.keys, more.tags, strict=True)]
    keys, tags = [key for key, _ in pairs], [tag for _, tag in pairs]
    return KVBatchMeta(partition_id=batch.partition_id, keys=keys, tags=tags)


def _refuse_unfit(run: RunContext, has_advantage: bool) -> None:
    """Refuse settings of verl that extensions do not work with.

    Raises:
        UserError: the first of them.
    """
    config = run.trainer.config
    if run.trainer.trainer_mode != "sync":
        raise UserError(
            f"extensions need trainer.v1.trainer_mode=sync, and it is {run.trainer.trainer_mode}", "set it to sync"
        )
    estimator = str(config.algorithm.adv_estimator)
    if has_advantage and estimator != "grpo":
        raise UserError(
            f"algorithm.adv_estimator={estimator}, and an extension computes GRPO's advantage", "set it to grpo"
        )
