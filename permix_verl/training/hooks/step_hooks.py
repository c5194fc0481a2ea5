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
from permix_verl.training.observability.persona_means import (
    MAX_SERIES,
    PERSONAS_CSV,
    PersonaMeans,
    category_metrics,
    read_means,
    write_means,
)
from permix_verl.training.observability.persona_metrics import Rollout, persona_metrics, reward_metrics
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
    """Log rewards and counts by persona and by category of the training pool.

    The curves of a pool of more than :data:`MAX_SERIES` personas are quantiles of the personas' means over the run; its
    best and worst personas are in :data:`PERSONAS_CSV`, as all personas of a smaller pool are.
    """

    def __init__(self, run: RunContext) -> None:
        super().__init__(run)
        self._means: PersonaMeans | None = None
        self._categories: Mapping[str, str] = {}

    def on_rollouts(self, step: int, rollouts: Sequence[Rollout]) -> Mapping[str, float]:
        draw, run_dir = getattr(self.run.trainer.train_dataset, "draw", None), self.run.run_dir
        if self._means is None:
            self._means = PersonaMeans() if run_dir is None else read_means(run_dir / RECORDS, step)
            self._categories = draw.pool.categories() if draw else {}
        self._means.add((rollout.persona, rollout.reward) for rollout in rollouts)
        if run_dir is not None:
            write_means(run_dir / PERSONAS_CSV, self._means, self._categories)
        by_category = category_metrics(rollouts, self._categories)
        if max(len(self._means), len(draw.pool) if draw else 0) > MAX_SERIES:
            return {**reward_metrics(rollouts), **by_category, **self._means.quantiles()}
        personas = draw.pool.personas if draw else ()
        by_persona = persona_metrics(rollouts, personas, no_persona=bool(draw and draw.no_persona_probability))
        return {**by_persona, **by_category}
