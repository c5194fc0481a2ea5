"""GRPO's advantage over groups of rollouts, and its sum over several rewards that are normalised apart (GDPO).

GRPO (arXiv 2402.03300): ``(r - mean) / (std + eps)`` over the rewards of a group. GDPO (arXiv 2601.05242): with several
rewards, each is normalised within its group, they are summed by weight, and the sum is normalised over the batch. Where
rewards are summed first, groups with other mixtures of rewards get the same advantages, and a reward of small variance
vanishes beside one of large variance.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

EPSILON = 1e-6
"""As verl's: added to a deviation that may be 0."""

Floats = NDArray[np.float64]


def group_advantage(rewards: Sequence[float] | Floats, groups: Sequence[str], by_deviation: bool = True) -> Floats:
    """Return the advantage of each rollout in its group, (N,); 0 in a group of one.

    Args:
        rewards: (N,), NaN for a rollout without this reward: it counts in no mean and gets 0.
        groups: the group of each rollout.
        by_deviation: divide by the group's deviation (ddof 1), as GRPO does and Dr.GRPO does not.
    """
    values = np.asarray(rewards, dtype=np.float64)
    names = np.asarray(groups)
    result = np.zeros(len(values))
    for name in dict.fromkeys(groups):
        members = np.flatnonzero((names == name) & ~np.isnan(values))
        if len(members) < 2:
            continue
        own = values[members]
        difference = own - own.mean()
        result[members] = difference / (own.std(ddof=1) + EPSILON) if by_deviation else difference
    return result


def gdpo_advantage(
    rewards: Sequence[tuple[float, Sequence[float] | Floats]], groups: Sequence[str], by_deviation: bool = True
) -> Floats:
    """Return the weighted sum of the rewards' advantages, normalised over the batch, (N,).

    Args:
        rewards: weight and values, (N,), of each reward; values as of :func:`group_advantage`.
        groups: the group of each rollout.
    """
    total: Floats = np.sum(
        [weight * group_advantage(values, groups, by_deviation) for weight, values in rewards], axis=0
    )
    informative = total != 0
    if informative.sum() < 2:
        return total
    # Rollouts without any advantage keep none: a group of wrong answers is not to be pushed by the others.
    centred = np.where(informative, total - total[informative].mean(), 0.0)
    scaled: Floats = centred / (total[informative].std(ddof=1) + EPSILON)
    return scaled
