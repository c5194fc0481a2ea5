"""Metrics per persona of a step's rollouts, for the training logger.

verl's V1 trainer drops a reward's extra keys from the training metrics.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from permix_verl.personas.pool import NO_PERSONA, Persona
from permix_verl.reward_fns.math_reward import STRICT_MARKS

FLAGS = ("no_answer", "timeout", "error")
"""Flags of samples without a verdict (``reward_fns/math_reward.py``); their rates are logged."""
LOGGED_FLAGS = (*FLAGS, "truncated_thought")
"""Flags of the reward whose rates are logged. A thought that was cut off is also ``no_answer``."""


@dataclass(frozen=True)
class Rollout:
    """One finished rollout, with the fields of the metrics and of the run's records.

    Attributes:
        key: verl's ``{uid}_{sample}_{output}``.
        uid: verl's id of the prompt group.
        sample: index in the group.
        row_id, epoch, persona: the row, the pass over the data, and the persona's key.
        reward: the reward that the trainer uses.
        tokens: response length.
        flags: those of :data:`LOGGED_FLAGS` that the reward reports.
        status: the reward's status, such as ``"correct"``; empty if it reports none.
        seed: sampling seed; ``None`` if unseeded.
        mark: marker of the extracted answer; ``None`` if the reward reports none.
        acc: verdict without any shaping, 1 or 0; ``None`` if the reward reports none.
        style: score of persona adoption; ``None`` if the reward reports none, as for a wrong answer.
        group: rollouts that the advantage compares; empty for verl's own groups, of one prompt.
    """

    key: str
    uid: str
    sample: int
    row_id: str
    epoch: int
    persona: str
    reward: float
    tokens: int
    flags: dict[str, float] = field(default_factory=dict)
    status: str = ""
    seed: int | None = None
    mark: str | None = None
    acc: float | None = None
    style: float | None = None
    group: str = ""

    @property
    def accuracy(self) -> float:
        """The verdict, or the reward if it reports none."""
        return self.reward if self.acc is None else self.acc

    @property
    def compared_with(self) -> str:
        """Name of the group that the advantage is computed in."""
        return self.group or self.uid


def persona_metrics(
    rollouts: Sequence[Rollout], personas: Sequence[Persona], no_persona: bool = False
) -> dict[str, float]:
    """Compute the metrics of one step.

    Args:
        rollouts: at least one rollout.
        personas: the training pool.
        no_persona: whether rows without a persona are sampled too.

    Returns:
        The metrics of :func:`reward_metrics`, and ``persona/NAME/{rollouts,reward,zero_variance_groups}``, with
        ``rollouts`` for every persona of the pool.
    """
    metrics = reward_metrics(rollouts)
    by_persona: dict[str, list[Rollout]] = defaultdict(list)
    for rollout in rollouts:
        by_persona[rollout.persona].append(rollout)
    slugs = {persona.key: persona.slug for persona in personas}
    names = [*slugs, *([NO_PERSONA] if no_persona else [])]
    for key in [*names, *(key for key in by_persona if key not in names)]:
        mine, name = by_persona.get(key, []), f"persona/{slugs.get(key, key)}"
        metrics[f"{name}/rollouts"] = float(len(mine))
        if mine:
            metrics[f"{name}/reward"] = sum(rollout.reward for rollout in mine) / len(mine)
            metrics[f"{name}/zero_variance_groups"] = zero_variance_fraction(mine)
    return metrics


def reward_metrics(rollouts: Sequence[Rollout]) -> dict[str, float]:
    """Compute the metrics of one step over all its rollouts.

    Args:
        rollouts: at least one rollout.

    Returns:
        ``reward/{no_answer,timeout,error,truncated_thought,strict}_rate`` if the reward reports their fields; and
        ``reward/zero_variance_groups``, the fraction of groups with equal rewards, from which GRPO learns nothing.
    """
    metrics = {
        f"reward/{flag}_rate": sum(rollout.flags[flag] for rollout in rollouts) / len(rollouts)
        for flag in LOGGED_FLAGS
        if all(flag in rollout.flags for rollout in rollouts)
    }
    if all(rollout.mark is not None for rollout in rollouts):
        strict = [rollout.status == "correct" and rollout.mark in STRICT_MARKS for rollout in rollouts]
        metrics["reward/strict_rate"] = sum(strict) / len(rollouts)
    metrics["reward/zero_variance_groups"] = zero_variance_fraction(rollouts)
    return metrics


def zero_variance_fraction(rollouts: Sequence[Rollout]) -> float:
    """Return the fraction of groups in which every sample got the same reward."""
    rewards: dict[str, set[float]] = defaultdict(set)
    for rollout in rollouts:
        rewards[rollout.compared_with].add(rollout.reward)
    return sum(len(values) == 1 for values in rewards.values()) / len(rewards)
