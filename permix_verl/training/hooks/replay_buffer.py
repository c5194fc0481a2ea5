"""verl's replay buffer with a watchdog on its wait, a reproducible order of the batch, and hooks.

    trainer.v1.sampler.custom_sampler.path=pkg://permix_verl.training.hooks.replay_buffer
    trainer.v1.sampler.custom_sampler.name=PersonaReplayBuffer
    +trainer.v1.sampler.sampler_kwargs.run_dir=runs/NAME

verl's trainer waits for its rollouts here, so a wait can be ended here; metrics returned
beside the batch go to the training logger.
"""

from pathlib import Path
from typing import Any, ClassVar

from transfer_queue import KVBatchMeta
from verl.trainer.ppo.v1.replay_buffer import ReplayBuffer

from permix_verl.errors import UserError
from permix_verl.training.guards.ray_actors import list_ray_actors
from permix_verl.training.guards.watchdog import STALL_S, Watchdog
from permix_verl.training.hooks.buffer_hooks import BufferHook, RunContext
from permix_verl.training.hooks.extended_steps import ExtendedSteps
from permix_verl.training.hooks.guard_hooks import CheckEffectiveConfig, CheckMismatch, CheckReference
from permix_verl.training.hooks.rollout_batch import sort_rollouts
from permix_verl.training.hooks.step_hooks import LogPersonaMetrics, MeasureAdapterNorm, SeedWorkers, WriteRecords
from permix_verl.training.hooks.validation_metrics import LogRobustness

DEFAULT_HOOKS: tuple[type[BufferHook], ...] = (
    CheckMismatch,
    CheckReference,
    SeedWorkers,
    CheckEffectiveConfig,
    WriteRecords,
    MeasureAdapterNorm,
    LogPersonaMetrics,
    LogRobustness,
)
"""Hooks of every run, called in this order at each event. ``CheckMismatch`` acts if ``stop_on_disagreement`` is 1."""


class RolloutError(RuntimeError):
    """Rollouts of a step failed; verl would continue with a smaller batch."""


class PersonaReplayBuffer(ReplayBuffer):
    """Replay buffer that verl's synchronous trainer constructs, with a bound method of the trainer as ``refill_fn``.

    ``sampler_kwargs`` may hold ``run_dir``, ``stall_seconds`` (of the watchdog), ``poll_interval`` in seconds
    (verl's default is 2), and the options of the hooks.

    Attributes:
        hooks: classes to construct for a run; a subclass extends them.

    Raises:
        UserError: the run folder does not exist.
    """

    hooks: ClassVar[tuple[type[BufferHook], ...]] = DEFAULT_HOOKS

    def __init__(self, *, sampler_kwargs: Any, refill_fn: Any, **kwargs: Any) -> None:
        super().__init__(
            sampler_kwargs=sampler_kwargs,
            refill_fn=refill_fn,
            poll_interval=float(sampler_kwargs.get("poll_interval", 0.25)),
            **kwargs,
        )
        self.trainer = refill_fn.__self__
        self.run_dir = Path(sampler_kwargs.run_dir) if sampler_kwargs.get("run_dir") else None
        self.stall_s = float(sampler_kwargs.get("stall_seconds", STALL_S))
        if self.run_dir is not None and not self.run_dir.is_dir():
            raise UserError(
                f"the run folder {self.run_dir} does not exist on the node of verl's trainer",
                "set RUN_DIR to a folder that all nodes share",
            )
        self.watchdog: Watchdog | None = None
        self.partition_id = self.waiting_for = ""
        seed = int(self.trainer.config.data.get("seed") or 0)
        run = RunContext(self.trainer, sampler_kwargs, self.run_dir, seed, self.report)
        self.extended = ExtendedSteps(run)
        self.run_hooks = [*(hook(run) for hook in self.hooks), *self.extended.extensions]
        self.extended.attach()
        for hook in self.run_hooks:
            hook.on_begin()

    def report(self, cause: str) -> None:
        """Report why the run ends, where the launcher looks for it."""
        assert self.watchdog is not None
        self.watchdog.report(cause)

    def sample(self, global_steps: int, partition_id: str, batch_size: int) -> tuple[KVBatchMeta, dict[str, Any]]:
        """Wait for a step's rollouts; return them in an order that does not depend on timing, with metrics.

        Raises:
            RolloutError: rollouts failed; it names the part that failed.
        """
        self._start_watchdog()
        self.partition_id = partition_id
        self.waiting_for = f"{'rollouts' if partition_id == 'train' else 'validation'} of step {global_steps}"
        if partition_id != "train":
            return self._wait(global_steps, partition_id, batch_size)
        batch, metrics = self._wait(global_steps, partition_id, self.extended.prompts(batch_size))
        batch, more = self.extended.refilled(global_steps, batch, self._wait)
        metrics = {**metrics, **more}
        for hook in self.run_hooks:
            hook.on_batch(global_steps)
        if self.trainer.get_reward_handles() is None:  # a reward model scores the rollouts later
            return batch, metrics
        batch, rollouts = sort_rollouts(batch, self.extended.read(batch))
        self.extended.set_rollouts(rollouts)
        for hook in self.run_hooks:
            metrics = {**metrics, **hook.on_rollouts(global_steps, rollouts)}
        return batch, metrics

    def _wait(self, global_steps: int, partition_id: str, prompts: int) -> tuple[KVBatchMeta, dict[str, Any]]:
        """Wait for the rollouts of a number of prompts."""
        assert self.watchdog is not None
        try:
            return super().sample(global_steps, partition_id, prompts)
        finally:
            self.watchdog.set_waiting(None)

    def _start_watchdog(self) -> None:
        if self.watchdog is None:
            parts = list_ray_actors(self.trainer)
            # verl shuts its transfer queue down when training is over.
            queue = [name for name in parts if "transfer queue" in name]
            self.watchdog = Watchdog(parts, self.run_dir, self.stall_s, only_while_waiting=queue)
            self.watchdog.start()

    def _sync_metadata_from_transfer_queue(self) -> None:
        """Sync as verl does at each poll; end the wait if a rollout has failed."""
        assert self.watchdog is not None
        super()._sync_metadata_from_transfer_queue()
        groups = (self.pending_keys, self.running_keys, self.finished_keys, self.failure_keys)
        pending, running, finished, failed = (sum(map(len, group.values())) for group in groups)
        done = sum(map(len, self.partitions.values()))
        queue = (pending, running, finished, failed, done)
        self.watchdog.set_waiting(f"{self.waiting_for}, {running} prompts running", queue, finished=done)
        if failed:
            self.fail(failed)
        if self.partition_id == "train" and running:
            for hook in self.run_hooks:
                hook.on_poll()

    def fail(self, failed: int) -> None:
        """End the run, with the parts that are at fault.

        Args:
            failed: prompts with a failed rollout.

        Raises:
            RolloutError: always.
        """
        assert self.watchdog is not None
        problems = self.watchdog.diagnose()
        why = "; ".join(problems) or "every part answers, so it is the rollout itself: see 'Error in _run_prompt' above"
        cause = f"{failed} prompts failed in {self.waiting_for}: {why}"
        self.watchdog.report(cause)
        raise RolloutError(cause)
