"""What a step's rollouts say about its personas: numbers for the training logger.

verl's V1 trainer drops a reward's extra keys from the training metrics.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from permix_verl.personas.pool import NO_PERSONA, Persona
from permix_verl.reward_fns.math_reward import STRICT_MARKS

FLAGS = ("no_answer", "timeout", "error")
"""Numeric flags of the reward (``reward_fns/math_reward.py``) whose rates are logged."""


@dataclass(frozen=True)
class Rollout:
    """One finished rollout, as the counters and the run's records need it.

    Attributes:
        key: verl's ``{uid}_{sample}_{output}``.
        uid: verl's id of the prompt group.
        sample: number in the group.
        row_id, epoch, persona: what was asked, in which pass over the data, under whose voice.
        reward: as the trainer sees it.
        flags: ``no_answer``, ``timeout``, ``error`` as far as the reward reports them.
        status: the reward's verdict in words, if it has one.
        mark: what marked the answer that was read; ``None`` where the reward does not say.
        tokens: of the response.
        seed: of the rollout engine's sampling; ``None`` where it was not seeded.
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


def counters(rollouts: Sequence[Rollout], personas: Sequence[Persona], no_persona: bool = False) -> dict[str, float]:
    """Metrics of one step.

    ``persona/NAME/rollouts`` stands for every persona of the pool, drawn or not, so
    that the counts of a step sum to its rollouts. ``zero_variance_groups`` is the share
    of groups whose samples all got the same reward and which GRPO learns nothing from.

    Args:
        rollouts: of one step, at least one.
        personas: the training pool.
        no_persona: whether the arm without persona is drawn too.

    Returns:
        ``reward/{no_answer,timeout,error,strict}_rate`` as far as the reward reports what they
        need, ``reward/zero_variance_groups``, and ``persona/NAME/{rollouts,reward,zero_variance_groups}``.
    """
    found = {
        f"reward/{flag}_rate": sum(rollout.flags[flag] for rollout in rollouts) / len(rollouts)
        for flag in FLAGS
        if all(flag in rollout.flags for rollout in rollouts)
    }
    if all(rollout.mark is not None for rollout in rollouts):
        strict = [rollout.status == "correct" and rollout.mark in STRICT_MARKS for rollout in rollouts]
        found["reward/strict_rate"] = sum(strict) / len(rollouts)
    found["reward/zero_variance_groups"] = zero_variance_share(rollouts)
    of_persona: dict[str, list[Rollout]] = defaultdict(list)
    for rollout in rollouts:
        of_persona[rollout.persona].append(rollout)
    slugs = {persona.key: persona.slug for persona in personas}
    names = [*slugs, *([NO_PERSONA] if no_persona else [])]
    for key in [*names, *(key for key in of_persona if key not in names)]:
        mine, name = of_persona.get(key, []), f"persona/{slugs.get(key, key)}"
        found[f"{name}/rollouts"] = float(len(mine))
        if mine:
            found[f"{name}/reward"] = sum(rollout.reward for rollout in mine) / len(mine)
            found[f"{name}/zero_variance_groups"] = zero_variance_share(mine)
    return found


def zero_variance_share(rollouts: Sequence[Rollout]) -> float:
    """Share of the groups in which every sample got the same reward."""
    rewards: dict[str, set[float]] = defaultdict(set)
    for rollout in rollouts:
        rewards[rollout.uid].add(rollout.reward)
    return sum(len(values) == 1 for values in rewards.values()) / len(rewards)
