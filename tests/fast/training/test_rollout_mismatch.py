"""A run whose rollouts are not its policy's is ended: when, with which words, and what the launcher makes of it."""

import ast
import importlib.util
import math
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from permix_verl.runs import metrics as m
from permix_verl.runs.folder import RunFolder
from permix_verl.training.failure import stopped_on_purpose
from permix_verl.training.guards import adapter_norm
from permix_verl.training.guards.rollout_mismatch import (
    FIRST_STEPS,
    STOPPED,
    Canary,
    DisagreementError,
    adapter_share,
    not_in_step,
    watch_agreement,
)
from permix_verl.training.run_checks import agreement_problems

GOOD = 0.9999


def ended_at(
    agreements: Sequence[float | None], shares: Sequence[float | None] | None = None, done: int = 0
) -> int | None:
    """The number of the step at which a launch with these figures is ended, that goes on after ``done``."""
    canary = Canary(0.99)
    for number, agreement in enumerate(agreements):
        if canary.look(done + number + 1, agreement, shares[number] if shares else None):
            return done + number + 1
    return None


@pytest.mark.parametrize("bad", [0.98, -0.5, math.nan, None])
@pytest.mark.parametrize("step", [1, 2, FIRST_STEPS])
def test_one_disagreement_in_the_first_steps_ends_the_run(step: int, bad: float | None) -> None:
    assert ended_at([GOOD] * (step - 1) + [bad] + [GOOD] * 5) == step


def test_later_one_low_step_is_no_end_and_three_in_a_row_are() -> None:
    first = [GOOD] * FIRST_STEPS
    assert ended_at([*first, 0.5, GOOD, 0.5, 0.5, GOOD, 0.5]) is None
    assert ended_at([*first, 0.5, math.nan, 0.5]) == FIRST_STEPS + 3
    assert ended_at([GOOD] * 4 + [GOOD, 0.5, 0.5, 0.5]) == 8


def test_a_launch_that_goes_on_later_is_ended_at_once_by_another_adapter_only() -> None:
    """A policy that is nearly certain may have a low step at any time, also in the first after a resume."""
    assert ended_at([0.5, GOOD, 0.5, 0.5], done=100) is None
    assert ended_at([0.5, 0.5, 0.5], done=100) == 103
    assert ended_at([GOOD, GOOD], [1.0, 0.5], done=100) == 102
    assert ended_at([GOOD] * 8, [*[1.0] * 5, 0.5, 1.0, 1.0], done=100) is None


def test_an_engine_whose_adapter_is_no_number_is_the_furthest_of_all() -> None:
    share = adapter_share(1.0, [1.0, math.nan, 4.0])
    assert share is not None
    assert math.isnan(share)
    assert ended_at([GOOD], [share]) == 1


def test_a_run_that_agrees_is_never_ended() -> None:
    assert ended_at([GOOD] * 50, [None, *[1.0004] * 49]) is None


def test_an_adapter_that_is_not_the_trained_one_ends_the_run_where_agreement_says_nothing() -> None:
    assert ended_at([GOOD] * 8, [None, 0.0, *[1.0] * 6]) == 2
    assert ended_at([GOOD] * 8, [None, 1.0, 0.99, *[1.0] * 5]) == 3


def test_the_cause_names_step_figures_and_remedy() -> None:
    canary = Canary(0.99)
    canary.look(1, GOOD, None)
    cause = canary.look(2, 0.7004, 0.0)
    assert cause is not None
    assert cause.startswith(f"{STOPPED} 2: ")
    assert "correlation 0.700 < 0.99" in cause
    assert "its weights are 0.0% of the trained ones'" in cause
    assert "STOP_ON_DISAGREEMENT=0" in cause
    missing = Canary(0.99).look(1, None, None)
    assert missing is not None
    assert "was not measured (rollout.calculate_log_probs=True" in missing


@pytest.mark.parametrize(
    ("trained", "held", "share"),
    [
        (4.0, [4.0, 4.0], 1.0),
        (4.0, [4.0, 1.0], 0.5),  # one replica is behind
        (4.0, [0.0], 0.0),
        (0.0, [0.0], None),  # before the first update
        (0.0, [1.0], math.inf),
        (None, [], None),
        (4.0, [], None),
    ],
)
def test_the_share_is_of_the_engine_that_is_furthest_off(
    trained: float | None, held: list[float], share: float | None
) -> None:
    assert adapter_share(trained, held) == share


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_rounding_is_no_other_adapter_and_a_missed_update_is(dtype: torch.dtype) -> None:
    """Adam's first update makes all weights as large, so that rounding does not average out."""
    signs = torch.randn(64, 32).sign()
    held = (signs * 2.03e-6).to(dtype) * 2

    def share(weights: torch.Tensor, rounded: torch.dtype | None) -> float:
        found = adapter_share(adapter_norm.sample_size(weights, 2.0, rounded), [adapter_norm.sample_size(held, 1.0)])
        assert found is not None
        return found

    assert share(signs * 2.03e-6, dtype) == pytest.approx(1, abs=1e-6)
    assert not_in_step(share(signs * 2.03e-6, torch.float32)) == (dtype != torch.float32)
    assert not_in_step(share(signs * 2.03e-6 * 1.02, dtype)), "the engine is at step 50, the trainer at 51"
    with pytest.raises(ValueError, match="only 2 rows"):
        adapter_norm.sample_size(torch.zeros(2, 8), 1.0)


def test_the_trainers_own_b_matrices_are_summed_with_their_scale() -> None:
    from peft import LoraConfig
    from peft.tuners.lora import Linear

    def actor(*layers: torch.nn.Module) -> Any:
        return SimpleNamespace(actor=SimpleNamespace(engine=SimpleNamespace(module=torch.nn.ModuleList(layers))))

    config = LoraConfig(r=4, lora_alpha=8)
    layers = [Linear(torch.nn.Linear(16, 8), "default", config, r=4, lora_alpha=8) for _ in range(3)]
    assert adapter_norm.trained_size(actor(*layers), "float32") == 0.0, "B is zero until the first update"
    for layer in layers:
        torch.nn.init.constant_(layer.lora_B["default"].weight, 0.5)
    assert adapter_norm.trained_size(actor(*layers), "float32") == pytest.approx(3 * 4 * 4 * (0.5 * 2) ** 2)
    assert adapter_norm.trained_size(actor(torch.nn.Linear(4, 4)), "float32") is None


class Trainer:
    """What is wrapped of verl's."""

    global_steps = 2
    learned = False

    def _compute_old_log_prob(self, batch: str, metrics: dict[str, Any]) -> str:
        metrics[m.AGREEMENT] = 0.5
        return f"{batch} with log-probs"

    def step(self) -> str:
        batch = self._compute_old_log_prob("batch", metrics={})
        self.learned = True
        return batch


def test_a_step_is_looked_at_before_anything_is_learned_from_it() -> None:
    seen: list[tuple[int, float]] = []
    trainer = Trainer()
    watch_agreement(trainer, lambda step, metrics: seen.append((step, metrics[m.AGREEMENT])))
    assert trainer.step() == "batch with log-probs"
    assert seen == [(2, 0.5)]

    def refuse(step: int, metrics: Any) -> None:
        raise DisagreementError("stop")

    stopped = Trainer()
    watch_agreement(stopped, refuse)
    with pytest.raises(DisagreementError):
        stopped.step()
    assert not stopped.learned


def test_verl_still_has_what_is_wrapped() -> None:
    """A contract with the pinned verl: the order of a step, and the names. Read, not imported: that takes long."""
    spec = importlib.util.find_spec("verl")
    assert spec is not None
    assert spec.submodule_search_locations
    file = Path(next(iter(spec.submodule_search_locations))) / "trainer" / "ppo" / "v1" / "trainer_base.py"
    trainer = next(node for node in ast.parse(file.read_text()).body if getattr(node, "name", "") == "PPOTrainer")
    assert isinstance(trainer, ast.ClassDef)
    methods = {node.name: ast.unparse(node) for node in trainer.body if isinstance(node, ast.FunctionDef)}
    step = methods["_step_once"]
    order = ["self.replay_buffer.sample(", "self._compute_old_log_prob(batch, metrics=metrics)", "self._update_actor("]
    assert [step.index(part) for part in order] == sorted(step.index(part) for part in order)
    assert methods["_compute_old_log_prob"].startswith(
        "def _compute_old_log_prob(self, batch: KVBatchMeta, metrics: dict)"
    )


def test_the_launcher_says_the_cause_last_and_knows_it_from_a_failure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = RunFolder(tmp_path)
    assert not stopped_on_purpose(folder, tmp_path / "log")
    (tmp_path / "cause.txt").write_text("rollout server 0 is gone")
    assert not stopped_on_purpose(folder, tmp_path / "log")
    cause = Canary(0.99).look(1, 0.5, None)
    assert cause is not None
    (tmp_path / "cause.txt").write_text(cause)
    assert stopped_on_purpose(folder, tmp_path / "log")
    assert capsys.readouterr().err.strip().splitlines()[-1] == f"CHECK FAILED: {cause}"


def test_a_run_that_went_on_with_another_adapter_fails_at_its_end() -> None:
    steps = {n: {m.REWARD: 0.1, m.AGREEMENT: GOOD, m.ADAPTER_SYNC: share} for n, share in ((1, 1.0), (2, 0.0))}
    problems = agreement_problems(steps, 0.99)
    assert len(problems) == 1
    assert "held another adapter than the trained one at 1 of 2 steps, first at step 2" in problems[0]
