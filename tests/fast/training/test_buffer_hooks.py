"""Each hook of the replay buffer does its one thing, and the buffer calls its hooks in order."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import ray
import torch
from omegaconf import OmegaConf

from permix_verl import load_pool
from permix_verl.runs import metrics as m
from permix_verl.training.guards import effective_config
from permix_verl.training.guards.rollout_mismatch import RolloutMismatchError
from permix_verl.training.hooks import guard_hooks, step_hooks
from permix_verl.training.hooks.buffer_hooks import BufferHook, RunContext
from permix_verl.training.hooks.guard_hooks import (
    CheckEffectiveConfig,
    CheckMismatch,
    CheckReference,
    EffectiveConfigError,
)
from permix_verl.training.hooks.seeds import worker_seed
from permix_verl.training.hooks.step_hooks import LogPersonaMetrics, MeasureAdapterNorm, SeedWorkers, WriteRecords
from permix_verl.training.hooks.validation_metrics import LogRobustness
from permix_verl.training.observability.persona_metrics import Rollout

ROLLOUTS = [Rollout(f"u_{sample}_0", "u", sample, "row", 0, "chef", float(sample), 3, seed=7) for sample in (0, 1)]


class Actor:
    """A Ray actor in this process: a call's reference is its result."""

    def __init__(self, **state: Any) -> None:
        self.state = SimpleNamespace(**state)
        self.__ray_call__ = SimpleNamespace(remote=lambda function, *args: function(self.state, *args))


@pytest.fixture(autouse=True)
def ray_without_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray, "get", lambda reference: reference)


def context(run_dir: Path | None = None, trainer: Any = None, **options: Any) -> tuple[RunContext, list[str]]:
    """Return a run's context, and the list that its reported causes go to."""
    causes: list[str] = []
    return RunContext(trainer, options, run_dir, 11, causes.append), causes


def trainer_with(config: Mapping[str, Any] | None = None, **attributes: Any) -> Any:
    workers = [Actor(rank=0), Actor(rank=1)]
    return SimpleNamespace(
        config=OmegaConf.create(dict(config or {})),
        actor_rollout_wg=SimpleNamespace(workers=workers),
        llm_server_manager=SimpleNamespace(get_replicas=lambda: [SimpleNamespace(servers=[Actor(engine=None)])]),
        **attributes,
    )


def test_workers_are_seeded_by_run_step_and_rank(monkeypatch: pytest.MonkeyPatch) -> None:
    seeds: list[int] = []
    monkeypatch.setattr(torch, "manual_seed", seeds.append)
    SeedWorkers(context(trainer=trainer_with())[0]).on_batch(5)
    assert seeds == [worker_seed(11, 5, 0), worker_seed(11, 5, 1)]


def test_a_record_has_a_line_per_rollout(tmp_path: Path) -> None:
    assert WriteRecords(context(tmp_path)[0]).on_rollouts(3, ROLLOUTS) == {}
    lines = [json.loads(line) for line in (tmp_path / "records" / "3.jsonl").read_text().splitlines()]
    assert [(line["step"], line["row_id"], line["sample"], line["reward"]) for line in lines] == [
        (3, "row", 0, 0.0),
        (3, "row", 1, 1.0),
    ]
    assert WriteRecords(context()[0]).on_rollouts(3, ROLLOUTS) == {}, "a run without a folder has no records"


def test_personas_of_the_pool_are_measured() -> None:
    draw = SimpleNamespace(pool=load_pool("train"), no_persona_probability=0.1)
    trainer = trainer_with(train_dataset=SimpleNamespace(draw=draw))
    metrics = LogPersonaMetrics(context(trainer=trainer)[0]).on_rollouts(1, ROLLOUTS)
    assert metrics["persona/chef/reward"] == 0.5
    assert metrics["persona/farmer/rollouts"] == metrics["persona/no_persona/rollouts"] == 0
    plain = LogPersonaMetrics(context(trainer=trainer_with(train_dataset=None))[0]).on_rollouts(1, ROLLOUTS)
    assert "persona/farmer/rollouts" not in plain, "a user's own dataset has no pool"


def test_the_adapter_norm_is_logged_until_it_cannot_be_read(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    dtypes: list[str] = []

    def trained(actor: Any, dtype: str) -> float:
        dtypes.append(dtype)
        return 4.0

    monkeypatch.setattr(step_hooks, "engine_sq_norms", lambda servers: [(1.0, "bfloat16") for _ in servers])
    monkeypatch.setattr(step_hooks, "trainer_sq_norm", trained)
    hook = MeasureAdapterNorm(context(trainer=trainer_with())[0])
    assert hook.on_rollouts(1, ROLLOUTS) == {m.ADAPTER_NORM_RATIO: 0.5}
    assert dtypes == ["bfloat16"]
    monkeypatch.setattr(step_hooks, "engine_sq_norms", lambda servers: [])
    assert hook.on_rollouts(2, ROLLOUTS) == hook.on_rollouts(3, ROLLOUTS) == {}
    assert capsys.readouterr().err.count("could not be read") == 1, "it is read no more"


@pytest.fixture
def effective(monkeypatch: pytest.MonkeyPatch) -> None:
    """Engines whose settings can be read."""
    monkeypatch.setattr(effective_config, "read_worker", lambda actor: {"lora": {"rank": 8}})
    monkeypatch.setattr(effective_config, "read_engine_args", lambda server: {"load_format": "auto"})
    monkeypatch.setattr(effective_config, "read_data", lambda trainer: {"problems_per_step": 4})


def config_with(rank: int, samples: int = 2) -> dict[str, Any]:
    return {"actor_rollout_ref": {"model": {"lora_rank": rank}, "rollout": {"n": samples}}}


@pytest.mark.usefixtures("effective")
def test_effective_settings_are_recorded_once(tmp_path: Path) -> None:
    run, causes = context(tmp_path, trainer_with(config_with(8)))
    hook = CheckEffectiveConfig(run)
    assert hook.on_rollouts(1, ROLLOUTS) == {}
    record = json.loads((tmp_path / "live.json").read_text())
    assert record["lora"] == {"rank": 8}
    assert record["sampling"] == {"samples_per_problem": 2.0}
    assert record["seeds"]["run"] == 11
    (tmp_path / "live.json").unlink()
    hook.on_rollouts(2, ROLLOUTS)
    assert not (tmp_path / "live.json").exists()
    assert causes == []


@pytest.mark.usefixtures("effective")
@pytest.mark.parametrize(("rank", "samples", "name"), [(16, 2, "lora_rank=16"), (8, 4, "rollout.n=4")])
def test_a_setting_that_differs_ends_the_run(tmp_path: Path, rank: int, samples: int, name: str) -> None:
    run, causes = context(tmp_path, trainer_with(config_with(rank, samples)))
    with pytest.raises(EffectiveConfigError, match=name):
        CheckEffectiveConfig(run).on_rollouts(1, ROLLOUTS)
    assert [name in cause for cause in causes] == [True]
    assert (tmp_path / "live.json").exists(), "the record explains the end"


def test_sampling_parameters_are_read_from_a_request_in_flight(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter([(0, 0, {}), (1, 5, {"temperature": 0.7}), (1, 6, {"temperature": 0.9})])
    monkeypatch.setattr(effective_config, "read_server", lambda server: next(answers))
    monkeypatch.setattr(ray, "wait", lambda references, timeout: (references, []))
    hook = CheckEffectiveConfig(context(trainer=trainer_with())[0])
    hook.on_poll()
    assert hook.sampling == {}, "no request was running"
    hook.on_poll()
    hook.on_poll()
    assert hook.sampling == {"temperature": 0.7}, "it is read once"


@pytest.mark.parametrize(("given", "wrapped"), [("runs/adapter", True), (None, False)])
def test_the_reference_of_a_run_with_an_adapter_is_checked(
    given: str | None, wrapped: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusals: list[Callable[[str], None]] = []
    monkeypatch.setattr(guard_hooks, "check_reference_before_update", lambda trainer, refuse: refusals.append(refuse))
    run, causes = context(trainer=trainer_with({"permix": {"init_adapter": given}}))
    CheckReference(run).on_begin()
    assert len(refusals) == wrapped
    for refuse in refusals:
        with pytest.raises(EffectiveConfigError, match="another policy"):
            refuse("another policy")
        assert causes == ["another policy"]


@pytest.mark.parametrize("enabled", [1, 0])
def test_a_mismatch_ends_the_run_and_is_logged(enabled: int) -> None:
    logged: list[tuple[int, dict[str, float]]] = []
    trainer = trainer_with(
        global_steps=2,
        logger=SimpleNamespace(log=lambda data, step: logged.append((step, data))),
        _compute_old_log_prob=lambda batch, metrics: metrics.update({m.ROLLOUT_ACTOR_CORR: 0.5, "other": 1.0}) or batch,
    )
    run, causes = context(trainer=trainer, stop_on_disagreement=enabled, min_agreement=0.9)
    CheckMismatch(run).on_begin()
    if not enabled:
        assert trainer._compute_old_log_prob("batch", metrics={}) == "batch"
        return
    with pytest.raises(RolloutMismatchError, match=r"0\.500 < 0\.9"):
        trainer._compute_old_log_prob("batch", metrics={})
    assert len(causes) == 1
    assert logged == [(2, {m.ROLLOUT_ACTOR_CORR: 0.5})]


class Recorder(BufferHook):
    """A hook that writes down its events."""

    def on_begin(self) -> None:
        self.run.trainer.events.append("begin")

    def on_poll(self) -> None:
        self.run.trainer.events.append("poll")

    def on_batch(self, step: int) -> None:
        self.run.trainer.events.append(f"batch {step}")

    def on_rollouts(self, step: int, rollouts: Sequence[Rollout]) -> Mapping[str, float]:
        self.run.trainer.events.append(f"rollouts {step}: {len(rollouts)}")
        return {"mine": 1.0, "verl's": 2.0}


class Trainer:
    """The part of verl's trainer that the buffer uses."""

    config = OmegaConf.create({"data": {"seed": 1}})

    def __init__(self, handles: list[Any] | None) -> None:
        self.events: list[str] = []
        self.handles = handles

    def refill(self, count: int) -> None: ...

    def get_reward_handles(self) -> list[Any] | None:
        return self.handles


def sampled(handles: list[Any] | None, partition: str, monkeypatch: pytest.MonkeyPatch) -> tuple[list[str], Any]:
    """Return the events and the metrics of one step of a buffer with a hook, whose wait is a single poll."""
    monkeypatch.setenv("VERL_PLATFORM", "cpu")
    from verl.trainer.ppo.v1.replay_buffer import ReplayBuffer

    from permix_verl.training.hooks import extended_steps, replay_buffer

    def sample(self: Any, step: int, partition: str, size: int) -> tuple[str, dict[str, float]]:
        self._sync_metadata_from_transfer_queue()
        return "batch", {"verl's": 0.0}

    def sync(self: Any) -> None:
        self.running_keys["train"] = {"u"}

    class Buffer(replay_buffer.PersonaReplayBuffer):
        hooks = (Recorder,)

    monkeypatch.setattr(ReplayBuffer, "sample", sample)
    monkeypatch.setattr(ReplayBuffer, "_sync_metadata_from_transfer_queue", sync)
    monkeypatch.setattr(replay_buffer, "list_ray_actors", lambda trainer: {})
    monkeypatch.setattr(extended_steps, "read_rollouts", lambda batch, prompts: ROLLOUTS)
    monkeypatch.setattr(replay_buffer, "sort_rollouts", lambda batch, rollouts: (batch, rollouts))
    trainer = Trainer(handles)
    buffer = Buffer(
        trainer_mode="sync",
        trainer_config=None,
        max_off_policy_threshold=None,
        max_off_policy_strategy="drop",
        sampler_kwargs=OmegaConf.create({}),
        refill_fn=trainer.refill,
    )
    batch, metrics = buffer.sample(4, partition, 1)
    assert batch == "batch"
    return trainer.events, metrics


def test_the_buffer_calls_its_hooks_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    events, metrics = sampled([], "train", monkeypatch)
    assert events == ["begin", "poll", "batch 4", "rollouts 4: 2"]
    assert metrics == {"mine": 1.0, "verl's": 2.0}


def test_validation_and_rollouts_without_rewards_skip_hooks(monkeypatch: pytest.MonkeyPatch) -> None:
    assert sampled([], "val", monkeypatch) == (["begin"], {"verl's": 0.0})
    assert sampled(None, "train", monkeypatch) == (["begin", "poll", "batch 4"], {"verl's": 0.0})


def test_hooks_of_every_run_check_before_they_measure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VERL_PLATFORM", "cpu")
    from permix_verl.training.hooks.replay_buffer import PersonaReplayBuffer

    assert PersonaReplayBuffer.hooks == (
        CheckMismatch,
        CheckReference,
        SeedWorkers,
        CheckEffectiveConfig,
        WriteRecords,
        MeasureAdapterNorm,
        LogPersonaMetrics,
        LogRobustness,
    )
