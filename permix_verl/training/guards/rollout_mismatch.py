"""Abort a run whose rollouts do not come from the policy being trained (stale adapter, wrong weights or dtype).

Each step is checked between its rollouts and its update. The rollout-actor correlation shows wrong base weights,
dtypes or sampling from the first step on; it hardly shows the adapter while the policy is near its start. The
adapter's norm in the rollout engine over the trained one's shows a stale adapter from the second step on, however
small the learning rate.
"""

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from permix_verl.runs.metrics import ADAPTER_NORM_RATIO, ROLLOUT_ACTOR_CORR

FIRST_STEPS = 5
"""First steps of a run, in which one mismatch aborts; in the first steps after a resume only a norm mismatch does."""
CONSECUTIVE_STEPS = 3
"""Consecutive mismatches that abort later: a single one may be a batch of few or nearly certain tokens."""
NORM_TOLERANCE = 1e-3
"""Allowed deviation of the norm ratio from 1. Both norms are rounded alike, so only the order of summation should
matter; one missed update changes the norm by about 1 / steps."""
STOPPED = "stopped at step"
"""Start of the cause, by which the launcher recognizes it."""


class RolloutMismatchError(RuntimeError):
    """The rollouts do not come from the policy being trained."""


def norms_differ(ratio: float) -> bool:
    """Return whether :data:`permix_verl.runs.metrics.ADAPTER_NORM_RATIO` shows another adapter in the engine."""
    return not abs(ratio - 1) <= NORM_TOLERANCE


class MismatchGuard:
    """Count the mismatches of a launch, and decide when they abort it.

    Args:
        min_corr: correlation that a step must reach.
    """

    def __init__(self, min_corr: float) -> None:
        self.min_corr = min_corr
        self.steps = 0
        self.bad: list[int] = []  # the latest consecutive mismatches

    def check(self, step: int, corr: float | None, norm_ratio: float | None) -> str | None:
        """Return the cause to abort the launch, or ``None``.

        Args:
            step: the step to check; each once, in order.
            corr: correlation of rollout and actor probabilities; NaN or ``None`` is a mismatch.
            norm_ratio: :data:`permix_verl.runs.metrics.ADAPTER_NORM_RATIO`, or ``None`` if unreadable.
        """
        self.steps += 1
        problems = _problems(corr, norm_ratio, self.min_corr)
        self.bad = [*self.bad, step] if problems else []
        early_norm_mismatch = self.steps <= FIRST_STEPS and norm_ratio is not None and norms_differ(norm_ratio)
        strict = step <= FIRST_STEPS or early_norm_mismatch
        if not problems or not (strict or len(self.bad) >= CONSECUTIVE_STEPS):
            return None
        row = f" and the {len(self.bad) - 1} before it" if len(self.bad) > 1 else ""
        return (
            f"{STOPPED} {step}{row}: {'; '.join(problems)}. The rollouts do not come from the policy being trained: "
            "check that the LoRA adapter reaches the rollout engine (load_format=safetensors) and that dtypes match. "
            "The same command resumes from the last checkpoint before it; STOP_ON_DISAGREEMENT=0 trains on, and "
            "ends with status 3"
        )


def _problems(corr: float | None, norm_ratio: float | None, min_corr: float) -> list[str]:
    problems = []
    if corr is None:
        problems.append(
            "the rollout-actor correlation was not measured (rollout.calculate_log_probs=True, and no "
            "rollout_correction.bypass_mode)"
        )
    elif not corr >= min_corr:
        problems.append(f"rollout and actor disagree: correlation {corr:.3f} < {min_corr}")
    if norm_ratio is not None and norms_differ(norm_ratio):
        problems.append(
            f"the rollout engine has another adapter loaded: its norm is {norm_ratio:.1%} of the trained one's"
        )
    return problems


def adapter_norm_ratio(trained: float | None, loaded: Sequence[float]) -> float | None:
    """Return the engines' norm ratio that is furthest from 1.

    Args:
        trained: squared norm of the trained adapter; ``None`` without LoRA.
        loaded: squared norms of the adapters loaded in the rollout engines.

    Returns:
        ``None`` if there is nothing to compare: no LoRA, no engine replied, nothing trained yet.
    """
    if trained is None or not loaded:
        return None
    if trained == 0:
        return None if max(loaded) == 0 else math.inf
    ratios = [math.sqrt(norm / trained) for norm in loaded]
    # NaN is furthest.
    return max(ratios, key=lambda ratio: math.inf if math.isnan(ratio) else abs(ratio - 1))


def check_before_update(trainer: Any, check: Callable[[int, Mapping[str, Any]], None]) -> None:
    """Wrap the trainer's ``_compute_old_log_prob``, for lack of a hook in verl, to check each step before its update.

    Args:
        check: called with step and metrics once the correlation is measured.
    """
    measure = trainer._compute_old_log_prob

    @functools.wraps(measure)
    def measure_and_check(batch: Any, metrics: dict[str, Any]) -> Any:
        batch = measure(batch, metrics=metrics)
        check(trainer.global_steps, metrics)
        return batch

    trainer._compute_old_log_prob = measure_and_check


def mismatch_metrics(metrics: Mapping[str, Any]) -> dict[str, float]:
    """Return the metrics that are checked, to be logged for an aborted step."""
    return {name: float(value) for name, value in metrics.items() if name in (ROLLOUT_ACTOR_CORR, ADAPTER_NORM_RATIO)}
