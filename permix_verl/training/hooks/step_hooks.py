"""Hooks of the replay buffer that seed, record and measure every training step."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import ray

from permix_verl.runs.metrics import ADAPTER_NORM_RATIO
from permix_verl.training.guards.adapter_norm import engine_sq_norms, trainer_sq_norm
from permix_verl.training.guards.ray_actors import rollout_servers
from permix_verl.training.guards.rollout_mismatch import adapter_norm_ratio
from permix_verl.training.hooks.buffer_hooks import BufferHook, RunContext
from permix_verl.training.hooks.guard_hooks import warn_if_unreadable
from permix_verl.training.hooks.seeds import worker_seed
from permix_verl.training.observability.persona_metrics import Rollout, persona_metrics
from permix_verl.utils.files import write_atomic

RECORDS = "records"
"""Folder in the run folder, with a JSON line per rollout in ``STEP.jsonl``."""


class SeedWorkers(BufferHook):
    """Seed each training worker before the step's update, so that LoRA dropout does not depend on earlier steps."""

    def on_batch(self, step: int) -> None:
        workers = self.run.trainer.actor_rollout_wg.workers
        seeds = [worker_seed(self.run.seed, step, rank) for rank in range(len(workers))]
        ray.get([worker.__ray_call__.remote(_seed_torch, seed) for worker, seed in zip(workers, seeds, strict=True)])


def _seed_torch(_: Any, seed: int) -> None:
    import torch

    torch.manual_seed(seed)


class WriteRecords(BufferHook):
    """Write the rollout fields that verl's own dumps lack: row, persona, epoch, sample, seed, status."""

    def on_rollouts(self, step: int, rollouts: Sequence[Rollout]) -> Mapping[str, float]:
        if self.run.run_dir is None:
            return {}
        folder = self.run.run_dir / RECORDS
        folder.mkdir(exist_ok=True)
        lines = [json.dumps({"step": step, **vars(rollout)}) + "\n" for rollout in rollouts]
        write_atomic(folder / f"{step}.jsonl", "".join(lines))
        return {}


class MeasureAdapterNorm(BufferHook):
    """Log the norm of the adapter loaded in the rollout engines over the trained one's, until it cannot be read."""

    def __init__(self, run: RunContext) -> None:
        super().__init__(run)
        self.readable = True

    def on_rollouts(self, step: int, rollouts: Sequence[Rollout]) -> Mapping[str, float]:
        if not self.readable:
            return {}
        self.readable = False
        with warn_if_unreadable("the rollout engine's adapter"):
            loaded = engine_sq_norms(rollout_servers(self.run.trainer).values())
            worker = self.run.trainer.actor_rollout_wg.workers[0]
            trained = ray.get(worker.__ray_call__.remote(trainer_sq_norm, loaded[0][1]))
            ratio = adapter_norm_ratio(trained, [norm for norm, _ in loaded])
            self.readable = True
            return {} if ratio is None else {ADAPTER_NORM_RATIO: ratio}
        return {}


class LogPersonaMetrics(BufferHook):
    """Log rewards and counts per persona of the training pool."""

    def on_rollouts(self, step: int, rollouts: Sequence[Rollout]) -> Mapping[str, float]:
        draw = getattr(self.run.trainer.train_dataset, "draw", None)
        personas = draw.pool.personas if draw else ()
        return persona_metrics(rollouts, personas, no_persona=bool(draw and draw.no_persona_probability))
