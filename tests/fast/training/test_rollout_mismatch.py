"""A run whose rollouts do not come from its policy is aborted: when, with which message, and the launcher's status."""

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
from permix_verl.training.failure import report_deliberate_stop
from permix_verl.training.guards import adapter_norm
from permix_verl.training.guards.rollout_mismatch import (
    FIRST_STEPS,
    STOPPED,
    MismatchGuard,
    RolloutMismatchError,
    adapter_norm_ratio,
    check_before_update,
    norms_differ,
)
from permix_verl.training.run_checks import agreement_problems

GOOD = 0.9999


def aborted_at(
    corrs: Sequence[float | None], ratios: Sequence[float | None] | None = None, done: int = 0
) -> int | None:
    """Return the step at which a launch with these metrics is aborted, if it resumes after step ``done``."""
    guard = MismatchGuard(0.99)
    for number, corr in enumerate(corrs):
        if guard.check(done + number + 1, corr, ratios[number] if ratios else None):
            return done + number + 1
    return None


@pytest.mark.parametrize("bad", [0.98, -0.5, math.nan, None])
@pytest.mark.parametrize("step", [1, 2, FIRST_STEPS])
def test_one_mismatch_in_the_first_steps_aborts(step: int, bad: float | None) -> None:
    assert aborted_at([GOOD] * (step - 1) + [bad] + [GOOD] * 5) == step


def test_later_one_mismatch_does_not_abort_and_three_consecutive_do() -> None:
    first = [GOOD] * FIRST_STEPS
    assert aborted_at([*first, 0.5, GOOD, 0.5, 0.5, GOOD, 0.5]) is None
    assert aborted_at([*first, 0.5, math.nan, 0.5]) == FIRST_STEPS + 3
    assert aborted_at([GOOD] * 4 + [GOOD, 0.5, 0.5, 0.5]) == 8


def test_after_a_resume_only_another_adapter_aborts_at_once() -> None:
    """A nearly certain policy may have a low correlation at any step, even the first after a resume."""
    assert aborted_at([0.5, GOOD, 0.5, 0.5], done=100) is None
    assert aborted_at([0.5, 0.5, 0.5], done=100) == 103
    assert aborted_at([GOOD, GOOD], [1.0, 0.5], done=100) == 102
    assert aborted_at([GOOD] * 8, [*[1.0] * 5, 0.5, 1.0, 1.0], done=100) is None


def test_a_nan_norm_is_furthest_from_1() -> None:
    ratio = adapter_norm_ratio(1.0, [1.0, math.nan, 4.0])
    assert ratio is not None
    assert math.isnan(ratio)
    assert aborted_at([GOOD], [ratio]) == 1


def test_a_run_without_mismatch_is_never_aborted() -> None:
    assert aborted_at([GOOD] * 50, [None, *[1.0004] * 49]) is None


def test_another_adapter_aborts_even_if_the_correlation_is_high() -> None:
    assert aborted_at([GOOD] * 8, [None, 0.0, *[1.0] * 6]) == 2
    assert aborted_at([GOOD] * 8, [None, 1.0, 0.99, *[1.0] * 5]) == 3


def test_the_cause_names_step_figures_and_remedy() -> None:
    guard = MismatchGuard(0.99)
    guard.check(1, GOOD, None)
    cause = guard.check(2, 0.7004, 0.0)
    assert cause is not None
    assert cause.startswith(f"{STOPPED} 2: ")
    assert "correlation 0.700 < 0.99" in cause
    assert "its norm is 0.0% of the trained one's" in cause
    assert "STOP_ON_DISAGREEMENT=0" in cause
    missing = MismatchGuard(0.99).check(1, None, None)
    assert missing is not None
    assert "was not measured (rollout.calculate_log_probs=True" in missing


@pytest.mark.parametrize(
    ("trained", "loaded", "ratio"),
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
def test_the_ratio_is_the_one_furthest_from_1(trained: float | None, loaded: list[float], ratio: float | None) -> None:
    assert adapter_norm_ratio(trained, loaded) == ratio


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_rounding_is_no_mismatch_and_a_missed_update_is(dtype: torch.dtype) -> None:
    """After Adam's first update all weights have the same magnitude, so rounding does not average out."""
    signs = torch.randn(64, 32).sign()
    loaded = (signs * 2.03e-6).to(dtype) * 2

    def ratio(weights: torch.Tensor, rounded: torch.dtype | None) -> float:
        result = adapter_norm_ratio(
            adapter_norm.lora_b_sq_norm(weights, 2.0, rounded), [adapter_norm.lora_b_sq_norm(loaded, 1.0)]
        )
        assert result is not None
        return result

    assert ratio(signs * 2.03e-6, dtype) == pytest.approx(1, abs=1e-6)
    assert norms_differ(ratio(signs * 2.03e-6, torch.float32)) == (dtype != torch.float32)
    assert norms_differ(ratio(signs * 2.03e-6 * 1.02, dtype)), "the engine is at step 50, the trainer at 51"
    with pytest.raises(ValueError, match="only 2 rows"):
        adapter_norm.lora_b_sq_norm(torch.zeros(2, 8), 1.0)


def test_the_trainers_own_b_matrices_are_summed_with_their_scale() -> None:
    from peft import LoraConfig, get_peft_model

    def actor(*layers: torch.nn.Module) -> Any:
        return SimpleNamespace(actor=SimpleNamespace(engine=SimpleNamespace(module=torch.nn.ModuleList(layers))))

    config = LoraConfig(r=4, lora_alpha=8, target_modules=["0", "1", "2"])
    plain = torch.nn.Sequential(*(torch.nn.Linear(16, 8) for _ in range(3)))
    layers = list(get_peft_model(plain, config).base_model.model)
    assert adapter_norm.trainer_sq_norm(actor(*layers), "float32") == 0.0, "B is zero until the first update"
    for layer in layers:
        torch.nn.init.constant_(layer.lora_B["default"].weight, 0.5)
    assert adapter_norm.trainer_sq_norm(actor(*layers), "float32") == pytest.approx(3 * 4 * 4 * (0.5 * 2) ** 2)
    assert adapter_norm.trainer_sq_norm(actor(torch.nn.Linear(4, 4)), "float32") is None


class Trainer:
    """The methods of verl's trainer that are wrapped."""

    global_steps = 2
    learned = False

    def _compute_old_log_prob(self, batch: str, metrics: dict[str, Any]) -> str:
        metrics[m.ROLLOUT_ACTOR_CORR] = 0.5
        return f"{batch} with log-probs"

    def step(self) -> str:
        batch = self._compute_old_log_prob("batch", metrics={})
        self.learned = True
        return batch


def test_a_step_is_checked_before_its_update() -> None:
    seen: list[tuple[int, float]] = []
    trainer = Trainer()
    check_before_update(trainer, lambda step, metrics: seen.append((step, metrics[m.ROLLOUT_ACTOR_CORR])))
    assert trainer.step() == "batch with log-probs"
    assert seen == [(2, 0.5)]

    def refuse(step: int, metrics: Any) -> None:
        raise RolloutMismatchError("stop")

    stopped = Trainer()
    check_before_update(stopped, refuse)
    with pytest.raises(RolloutMismatchError):
        stopped.step()
    assert not stopped.learned


def test_verl_still_has_what_is_wrapped() -> None:
    """Contract with the pinned verl: order of a step, and names. The source is parsed, because an import is slow."""
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


def test_the_launcher_prints_the_cause_last_and_tells_it_from_a_failure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = RunFolder(tmp_path)
    assert not report_deliberate_stop(folder, tmp_path / "log")
    (tmp_path / "cause.txt").write_text("rollout server 0 is gone")
    assert not report_deliberate_stop(folder, tmp_path / "log")
    cause = MismatchGuard(0.99).check(1, 0.5, None)
    assert cause is not None
    (tmp_path / "cause.txt").write_text(cause)
    assert report_deliberate_stop(folder, tmp_path / "log")
    assert capsys.readouterr().err.strip().splitlines()[-1] == f"CHECK FAILED: {cause}"


def test_a_run_that_went_on_with_another_adapter_fails_at_its_end() -> None:
    steps = {
        n: {m.REWARD: 0.1, m.ROLLOUT_ACTOR_CORR: GOOD, m.ADAPTER_NORM_RATIO: ratio} for n, ratio in ((1, 1.0), (2, 0.0))
    }
    problems = agreement_problems(steps, 0.99)
    assert len(problems) == 1
    assert "held another adapter than the trained one at 1 of 2 steps, first at step 2" in problems[0]
