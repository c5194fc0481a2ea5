"""verl's replay buffer, with a watchdog, counters per persona and seeds that do not depend on what came before.

    trainer.v1.sampler.custom_sampler.path=pkg://permix_verl.training.hooks.replay_buffer
    trainer.v1.sampler.custom_sampler.name=PersonaReplayBuffer
    +trainer.v1.sampler.sampler_kwargs.run_dir=runs/NAME

This is where verl's trainer waits for its rollouts, so it is where a wait can be
ended; and what it returns beside the batch goes to the training logger.
"""

import contextlib
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import ray
from transfer_queue import KVBatchMeta
from verl.trainer.ppo.v1.replay_buffer import ReplayBuffer

from permix_verl.errors import UserError
from permix_verl.runs.metrics import ADAPTER_SYNC, AGREEMENT
from permix_verl.training.guards import effective_config
from permix_verl.training.guards.adapter_norm import held_sizes, trained_size
from permix_verl.training.guards.effective_config_check import differences
from permix_verl.training.guards.ray_actors import RayQuestion, parts_of, rollout_servers
from permix_verl.training.guards.reference_check import watch_reference
from permix_verl.training.guards.rollout_mismatch import (
    Canary,
    DisagreementError,
    adapter_share,
    measured_values,
    watch_agreement,
)
from permix_verl.training.guards.watchdog import STALL_S, UnreachableError, Watchdog
from permix_verl.training.hooks.rollout_batch import in_order, read_rollouts
from permix_verl.training.hooks.seeds import worker_seed
from permix_verl.training.observability.persona_metrics import Rollout, counters
from permix_verl.utils.files import write_atomic

RECORDS = "records"
"""Folder in the run's: a line per rollout and step, with row, persona, sample, seed and verdict."""


class RolloutError(RuntimeError):
    """Rollouts of a step failed; verl would go on with a smaller batch."""


class LiveSettingsError(RuntimeError):
    """What runs is not what the configuration asks for."""


@contextlib.contextmanager
def _unreadable_is_said(what: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        print(f"permix_verl: the live settings of {what} could not be read: {error!r}", file=sys.stderr)


def _seed_torch(_: Any, seed: int) -> None:
    import torch

    torch.manual_seed(seed)


class PersonaReplayBuffer(ReplayBuffer):
    """Constructed by verl's sync trainer, whose bound method it is given as ``refill_fn``.

    ``sampler_kwargs``: ``run_dir``, ``stall_seconds`` (:data:`permix_verl.training.guards.watchdog.STALL_S`),
    ``poll_interval`` in seconds (verl's own is 2), ``min_agreement`` that a step must reach, and
    ``stop_on_disagreement``, 1 to end a run that does not (``permix_verl.training.guards.rollout_mismatch``).

    Raises:
        UserError: the run's folder is not there.
    """

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
        self.seed = int(self.trainer.config.data.get("seed") or 0)
        if self.run_dir is not None and not self.run_dir.is_dir():
            raise UserError(
                f"the run's folder {self.run_dir} is not there on the node of verl's trainer; set RUN_DIR to a folder "
                "that all nodes see"
            )
        self.watchdog: Watchdog | None = None
        self.partition_id = self.waiting_for = ""
        self.sampling: dict[str, Any] = {}
        self.live_checked = False
        self.adapter_is_read = True
        self.canary = Canary(float(sampler_kwargs.get("min_agreement", 0.99)))
        if int(sampler_kwargs.get("stop_on_disagreement", 0)):
            watch_agreement(self.trainer, self.look_at_agreement)
        if (self.trainer.config.get("permix") or {}).get("init_adapter"):
            watch_reference(self.trainer, self.refuse_reference)

    def sample(self, global_steps: int, partition_id: str, batch_size: int) -> tuple[KVBatchMeta, dict[str, Any]]:
        """A step's rollouts in an order of their own, and its counters.

        Raises:
            RolloutError: with the part that failed.
            LiveSettingsError: at the first step.
        """
        if self.watchdog is None:
            parts = parts_of(self.trainer)
            # verl ends its transfer queue itself when the training is over.
            queue = [name for name in parts if "transfer queue" in name]
            self.watchdog = Watchdog(parts, self.run_dir, self.stall_s, only_while_waiting=queue)
            self.watchdog.start()
        self.partition_id = partition_id
        self.waiting_for = f"{'rollouts' if partition_id == 'train' else 'validation'} of step {global_steps}"
        try:
            batch, metrics = super().sample(global_steps, partition_id, batch_size)
        finally:
            self.watchdog.waiting(None)
        if partition_id != "train":
            return batch, metrics
        self.seed_workers(global_steps)
        if self.trainer.get_reward_handles() is None:  # a reward model that judges after this
            return batch, metrics
        rollouts = read_rollouts(batch)
        batch, rollouts = in_order(batch, rollouts)
        if not self.live_checked:
            self.check_live(rollouts)
        self.record(global_steps, rollouts)
        metrics = metrics | self.adapter_metrics()
        draw = getattr(self.trainer.train_dataset, "draw", None)
        personas = draw.pool.personas if draw else ()
        return batch, metrics | counters(rollouts, personas, no_persona=bool(draw and draw.no_persona_probability))

    def _sync_metadata_from_transfer_queue(self) -> None:
        """verl's, called at each look at the queue; ends the wait where a rollout has failed."""
        assert self.watchdog is not None
        super()._sync_metadata_from_transfer_queue()
        groups = (self.pending_keys, self.running_keys, self.finished_keys, self.failure_keys)
        counts = tuple(sum(map(len, group.values())) for group in groups)
        done = sum(map(len, self.partitions.values()))
        self.watchdog.waiting(f"{self.waiting_for}, {counts[1]} prompts running", (*counts, done), finished=done)
        if counts[3]:
            self.fail(counts[3])
        if self.partition_id == "train" and not self.sampling and counts[1]:
            self.look_at_sampling()

    def fail(self, failed: int) -> None:
        assert self.watchdog is not None
        problems = self.watchdog.diagnose()
        why = "; ".join(problems) or "every part answers, so it is the rollout itself: see 'Error in _run_prompt' above"
        cause = f"{failed} prompts failed in {self.waiting_for}: {why}"
        self.watchdog.report(cause)
        raise RolloutError(cause)

    def look_at_sampling(self) -> None:
        """Read how a request in flight is sampled; where it cannot be read now, the next look tries again."""
        for server in rollout_servers(self.trainer).values():
            question = RayQuestion(server.__ray_call__.remote(effective_config.read_server))
            # What these say is the watchdog's to say.
            with contextlib.suppress(effective_config.EngineDiedError, ray.exceptions.RayActorError, UnreachableError):
                _, state = question.answer(1.0)
                if state and state[2]:
                    self.sampling = state[2]
                    return

    def check_live(self, rollouts: list[Rollout]) -> None:
        """Write ``live.json`` and compare it with the configuration."""
        from omegaconf import OmegaConf

        worker = self.trainer.actor_rollout_wg.workers[0]
        server = next(iter(rollout_servers(self.trainer).values()))
        record: dict[str, dict[str, Any]] = {}
        # Of other engines than FSDP and vLLM, and full weights, less can be read.
        with _unreadable_is_said("the training engine"):
            record |= ray.get(worker.__ray_call__.remote(effective_config.read_worker))
        with _unreadable_is_said("the rollout engine"):
            record["rollout"] = ray.get(server.__ray_call__.remote(effective_config.read_engine_args))
        groups = {rollout.uid for rollout in rollouts}
        samples = {(rollout.uid, rollout.sample) for rollout in rollouts}
        record["sampling"] = self.sampling | {"samples_per_problem": len(samples) / len(groups)}
        with _unreadable_is_said("the data loader"):
            record["data"] = effective_config.read_data(self.trainer)
        record["seeds"] = {
            "run": self.seed,
            "rollouts": "a seed for each (step, row, sample)" if rollouts[0].seed is not None else "not seeded",
            "lora_dropout": "a seed for each (step, rank)",
        }
        if self.run_dir is not None:
            write_atomic(self.run_dir / effective_config.LIVE_FILE, json.dumps(record, indent=2) + "\n")
        config = OmegaConf.to_container(self.trainer.config, resolve=True)
        assert isinstance(config, dict)
        found = differences({str(key): value for key, value in config.items()}, record)
        if found:
            assert self.watchdog is not None
            cause = "what runs is not what was asked for: " + "; ".join(found)
            self.watchdog.report(cause)
            raise LiveSettingsError(cause)
        self.live_checked = True

    def adapter_metrics(self) -> dict[str, float]:
        """Whether the rollout engines hold the adapter that is trained; nothing where that cannot be read."""
        if not self.adapter_is_read:
            return {}
        self.adapter_is_read = False
        with _unreadable_is_said("the rollout engine's adapter"):
            held = held_sizes(rollout_servers(self.trainer).values())
            worker = self.trainer.actor_rollout_wg.workers[0]
            trained = ray.get(worker.__ray_call__.remote(trained_size, held[0][1]))
            share = adapter_share(trained, [size for size, _ in held])
            self.adapter_is_read = True
            return {} if share is None else {ADAPTER_SYNC: share}
        return {}

    def look_at_agreement(self, step: int, metrics: Mapping[str, Any]) -> None:
        """End a run whose rollouts are not the policy's, before it learns from them.

        Raises:
            DisagreementError: it is one.
        """
        values = measured_values(metrics)
        cause = self.canary.look(step, values.get(AGREEMENT), values.get(ADAPTER_SYNC))
        if cause:
            self.trainer.logger.log(data=values, step=step)
            assert self.watchdog is not None
            self.watchdog.report(cause)
            raise DisagreementError(cause)

    def refuse_reference(self, cause: str) -> None:
        """End a run whose KL reference is another policy than the one that it starts from.

        Raises:
            LiveSettingsError: with the cause.
        """
        assert self.watchdog is not None
        self.watchdog.report(cause)
        raise LiveSettingsError(cause)

    def seed_workers(self, step: int) -> None:
        """Before the step's update, so that LoRA dropout is the same after any resume."""
        workers = self.trainer.actor_rollout_wg.workers
        ray.get([w.__ray_call__.remote(_seed_torch, worker_seed(self.seed, step, r)) for r, w in enumerate(workers)])

    def record(self, step: int, rollouts: list[Rollout]) -> None:
        """What verl's own dumps lack: row, persona, epoch, sample, seed and verdict of each rollout."""
        if self.run_dir is None:
            return
        (self.run_dir / RECORDS).mkdir(exist_ok=True)
        lines = [json.dumps({"step": step, **vars(rollout)}) + "\n" for rollout in rollouts]
        write_atomic(self.run_dir / RECORDS / f"{step}.jsonl", "".join(lines))
