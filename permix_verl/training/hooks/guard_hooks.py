"""Hooks of the replay buffer that end a run: wrong settings, a wrong KL reference, rollouts of another policy."""

import contextlib
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import ray

from permix_verl.runs.metrics import ADAPTER_NORM_RATIO, ROLLOUT_ACTOR_CORR
from permix_verl.training.guards import effective_config
from permix_verl.training.guards.effective_config_check import find_differences
from permix_verl.training.guards.ray_actors import RayReply, rollout_servers
from permix_verl.training.guards.reference_check import check_reference_before_update
from permix_verl.training.guards.rollout_mismatch import (
    MismatchGuard,
    RolloutMismatchError,
    check_before_update,
    mismatch_metrics,
)
from permix_verl.training.guards.watchdog import UnreachableError
from permix_verl.training.hooks.buffer_hooks import BufferHook, RunContext
from permix_verl.training.observability.persona_metrics import Rollout
from permix_verl.utils.files import write_atomic


class EffectiveConfigError(RuntimeError):
    """The effective settings differ from the configuration."""


class CheckEffectiveConfig(BufferHook):
    """Write ``live.json`` at a launch's first step, and compare it with the configuration."""

    def __init__(self, run: RunContext) -> None:
        super().__init__(run)
        self.sampling: dict[str, Any] = {}
        self.checked = False

    def on_poll(self) -> None:
        """Read the sampling parameters of a request in flight; if none can be read, the next poll tries again."""
        if self.sampling:
            return
        for server in rollout_servers(self.run.trainer).values():
            reply = RayReply(server.__ray_call__.remote(effective_config.read_server))
            # The watchdog reports these errors.
            with contextlib.suppress(effective_config.EngineDiedError, ray.exceptions.RayActorError, UnreachableError):
                _, state = reply.wait(1.0)
                if state and state[2]:
                    self.sampling = state[2]
                    return

    def on_rollouts(self, step: int, rollouts: Sequence[Rollout]) -> Mapping[str, float]:
        """Check the settings once.

        Raises:
            EffectiveConfigError: a setting differs.
        """
        from omegaconf import OmegaConf

        if self.checked:
            return {}
        record = self._read(rollouts)
        if self.run.run_dir is not None:
            write_atomic(self.run.run_dir / effective_config.LIVE_FILE, json.dumps(record, indent=2) + "\n")
        config = OmegaConf.to_container(self.run.trainer.config, resolve=True)
        assert isinstance(config, dict)
        problems = find_differences({str(key): value for key, value in config.items()}, record)
        if problems:
            self.run.stop(
                EffectiveConfigError("the effective settings differ from the configuration: " + "; ".join(problems))
            )
        self.checked = True
        return {}

    def _read(self, rollouts: Sequence[Rollout]) -> dict[str, dict[str, Any]]:
        trainer = self.run.trainer
        worker = trainer.actor_rollout_wg.workers[0]
        server = next(iter(rollout_servers(trainer).values()))
        record: dict[str, dict[str, Any]] = {}
        # Engines other than FSDP and vLLM, and full fine-tuning, expose less.
        with warn_if_unreadable("the training engine"):
            record |= ray.get(worker.__ray_call__.remote(effective_config.read_worker))
        with warn_if_unreadable("the rollout engine"):
            record["rollout"] = ray.get(server.__ray_call__.remote(effective_config.read_engine_args))
        groups = {rollout.compared_with for rollout in rollouts}
        samples = {(rollout.compared_with, rollout.sample) for rollout in rollouts}
        record["sampling"] = self.sampling | {"samples_per_problem": len(samples) / len(groups)}
        with warn_if_unreadable("the data loader"):
            record["data"] = effective_config.read_data(trainer)
        record["seeds"] = {
            "run": self.run.seed,
            "rollouts": "a seed for each (step, row, sample)" if rollouts[0].seed is not None else "not seeded",
            "lora_dropout": "a seed for each (step, rank)",
        }
        return record


class CheckReference(BufferHook):
    """End a run whose KL reference is not the adapter that it starts from."""

    def on_begin(self) -> None:
        if (self.run.trainer.config.get("permix") or {}).get("init_adapter"):
            check_reference_before_update(self.run.trainer, lambda cause: self.run.stop(EffectiveConfigError(cause)))


class CheckMismatch(BufferHook):
    """End a run whose rollouts do not come from the trained policy, before it learns from them.

    Options: ``min_agreement`` is the correlation that a step must reach, ``stop_on_disagreement=1`` enables the hook.
    """

    def __init__(self, run: RunContext) -> None:
        super().__init__(run)
        self.guard = MismatchGuard(float(run.options.get("min_agreement", 0.99)))

    def on_begin(self) -> None:
        if int(self.run.options.get("stop_on_disagreement", 0)):
            check_before_update(self.run.trainer, self.check)

    def check(self, step: int, metrics: Mapping[str, Any]) -> None:
        """Check one step's metrics.

        Raises:
            RolloutMismatchError: the guard ends the run.
        """
        values = mismatch_metrics(metrics)
        cause = self.guard.check(step, values.get(ROLLOUT_ACTOR_CORR), values.get(ADAPTER_NORM_RATIO))
        if cause:
            self.run.trainer.logger.log(data=values, step=step)
            self.run.stop(RolloutMismatchError(cause))


@contextlib.contextmanager
def warn_if_unreadable(subject: str) -> Iterator[None]:
    """Turn an error of the block into a warning on stderr."""
    try:
        yield
    except Exception as error:
        print(f"permix_verl: the live settings of {subject} could not be read: {error!r}", file=sys.stderr)
