"""Ends a run whose rollouts are not made by the policy that is trained: by its first steps, before it has saved any.

Two things are looked at in every step, between its rollouts and its update. Rollout-actor agreement: at a run's first
step the LoRA adapter does nothing yet, so there it speaks of base weights, data types and sampling, and of the
adapter only later, and little while the policy is near its start. And the adapter itself: the size of the weights
that the rollout engine holds against the trained ones', which tells from the second step on, however small the
learning rate.
"""

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from permix_verl.runs.metrics import ADAPTER_SYNC, AGREEMENT

FIRST_STEPS = 5
"""Steps of a run in which one disagreement ends it: little is lost, and nothing else explains it. In as many of a
launch that goes on later, another adapter in the rollout engine does."""
IN_A_ROW = 3
"""Later steps in a row: one alone may be a batch of few or nearly certain tokens, and a run is worth more than that."""
SYNC_TOLERANCE = 1e-3
"""Share by which the size of the weights may differ. Both are rounded alike, so it should be that of a sum's order; one
missed update changes the size by about one over the number of steps."""
STOPPED = "stopped at step"
"""How the cause begins, by which the launcher knows it."""


class DisagreementError(RuntimeError):
    """The rollouts are not made by the policy that is trained."""


def not_in_step(share: float) -> bool:
    """Whether :data:`permix_verl.runs.metrics.ADAPTER_SYNC` says that the engine holds another adapter."""
    return not abs(share - 1) <= SYNC_TOLERANCE


class Canary:
    """What it has seen in a launch, and whether that is enough.

    Args:
        least: correlation that a step must reach.
    """

    def __init__(self, least: float) -> None:
        self.least = least
        self.steps = 0
        self.bad: list[int] = []  # the last steps in a row that disagreed

    def look(self, step: int, agreement: float | None, share: float | None) -> str | None:
        """The cause to end the launch for, or ``None``.

        Args:
            step: that is looked at; each once, in order.
            agreement: correlation of rollout and actor; NaN or ``None`` is a disagreement.
            share: :data:`permix_verl.runs.metrics.ADAPTER_SYNC`, or ``None`` where it could not be read.
        """
        self.steps += 1
        problems = _problems(agreement, share, self.least)
        self.bad = [*self.bad, step] if problems else []
        strict = step <= FIRST_STEPS or (self.steps <= FIRST_STEPS and share is not None and not_in_step(share))
        if not problems or not (strict or len(self.bad) >= IN_A_ROW):
            return None
        row = f" and the {len(self.bad) - 1} before it" if len(self.bad) > 1 else ""
        return (
            f"{STOPPED} {step}{row}: {'; '.join(problems)}. The rollouts are not made by the policy that is trained: "
            "see that the LoRA adapter reaches the rollout engine (load_format=safetensors) and that data types match. "
            "The same command goes on from the last checkpoint before it; STOP_ON_DISAGREEMENT=0 trains on all the same"
        )


def _problems(agreement: float | None, share: float | None, least: float) -> list[str]:
    found = []
    if agreement is None:
        found.append(
            "the agreement of rollout and actor was not measured (rollout.calculate_log_probs=True, and no "
            "rollout_correction.bypass_mode)"
        )
    elif not agreement >= least:
        found.append(f"rollout and actor disagree: correlation {agreement:.3f} < {least}")
    if share is not None and not_in_step(share):
        found.append(f"the rollout engine holds another adapter: its weights are {share:.1%} of the trained ones'")
    return found


def adapter_share(trained: float | None, held: Sequence[float]) -> float | None:
    """The engine's share of the trained size that is furthest from 1.

    Args:
        trained: sum of squares of the LoRA weights that are sampled, times the scale; ``None`` without LoRA.
        held: the same of every rollout engine's.

    Returns:
        ``None`` where there is nothing to compare: no LoRA, no engine that answered, nothing trained yet.
    """
    if trained is None or not held:
        return None
    if trained == 0:
        return None if max(held) == 0 else math.inf
    shares = [math.sqrt(one / trained) for one in held]
    # One that is NaN is furthest of all.
    return max(shares, key=lambda share: math.inf if math.isnan(share) else abs(share - 1))


def watch_agreement(trainer: Any, look: Callable[[int, Mapping[str, Any]], None]) -> None:
    """Have ``look(step, metrics)`` called in every step once agreement is measured, before anything is learned from it.

    verl has no hook there: its trainer's own method is wrapped.
    """
    measure = trainer._compute_old_log_prob

    @functools.wraps(measure)
    def measured(batch: Any, metrics: dict[str, Any]) -> Any:
        batch = measure(batch, metrics=metrics)
        look(trainer.global_steps, metrics)
        return batch

    trainer._compute_old_log_prob = measured


def measured_values(metrics: Mapping[str, Any]) -> dict[str, float]:
    """Of a step that is ended, what goes to the logger: the figures that it is ended for."""
    return {name: float(value) for name, value in metrics.items() if name in (AGREEMENT, ADAPTER_SYNC)}
