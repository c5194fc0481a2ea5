r"""Weights of the persona draw as functions of each persona's accuracy.

``uniform``: all equal, as in PerMix-RLVR (arXiv 2604.08986, Algorithm 1).

``group-dro``: the adversary of group distributionally robust optimisation (Sagawa et al., arXiv 1911.08731; for GRPO
arXiv 2601.19280), which chooses the groups' weights against the policy. With an entropy term of weight 1/eta it solves

    max_q  sum_k q_k l_k - (1/eta) KL(q || base),   so   q_k = base_k exp(eta l_k) / sum_j base_j exp(eta l_j),

with the loss ``l_k`` = 1 - the persona's moving average of accuracy. Without the term, q would grow without bound on a
persona that cannot be learned; with it, no persona is drawn more than exp(eta) times as often as another.

``variance``: in proportion to p(1 - p), the variance of a rollout's reward, which scales GRPO's gradient.

A floor mixes the base weights in: every persona keeps at least that share of its own.
"""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from permix_verl.errors import UserError

Floats = NDArray[np.float64]


def group_dro_weights(accuracy_K: Floats, base_K: Floats, eta: float) -> Floats:
    """Return the adversary's weights, (K,), which sum to 1.

    Args:
        accuracy_K: each persona's accuracy.
        base_K: weights without adversary; they sum to 1.
        eta: the adversary's strength; 0 returns ``base_K``.
    """
    exponents = eta * (1 - accuracy_K)
    weights: Floats = base_K * np.exp(exponents - exponents.max())
    return weights / weights.sum()


def variance_weights(accuracy_K: Floats, base_K: Floats) -> Floats:
    """Return weights in proportion to p(1 - p), (K,); ``base_K`` if all personas are solved or hopeless."""
    weights: Floats = base_K * accuracy_K * (1 - accuracy_K)
    total = float(weights.sum())
    return weights / total if total > 0 else base_K


def with_floor(weights_K: Floats, base_K: Floats, floor: float) -> Floats:
    """Return weights of which no one is below ``floor`` times its base weight, (K,)."""
    mixed: Floats = (1 - floor) * weights_K + floor * base_K
    return mixed


def weight_rule(name: str, eta: float) -> Callable[[Floats, Floats], Floats]:
    """Return the rule of a name other than "uniform".

    Raises:
        UserError: an unknown name, or a negative strength.
    """
    if eta < 0:
        raise UserError(f"permix.persona_sampling_strength={eta}", "give 0 or more")
    rules: Mapping[str, Callable[[Floats, Floats], Floats]] = {
        "group-dro": lambda accuracy, base: group_dro_weights(accuracy, base, eta),
        "variance": variance_weights,
    }
    if name not in rules:
        raise UserError(f"permix.persona_sampling={name}: no such value", f"known: uniform {' '.join(rules)}")
    return rules[name]


def persona_weights(
    averages: Mapping[str, float],
    keys: tuple[str, ...],
    base_K: Floats,
    rule: Callable[[Floats, Floats], Floats],
    floor: float,
) -> Floats:
    """Return the weights of a pool's personas, (K,); one that has not been seen counts as the mean of the others.

    Args:
        averages: persona -> accuracy.
        keys: the pool's, in its order.
        base_K: the pool's own weights.
    """
    base: Floats = base_K / base_K.sum()
    known = [averages[key] for key in keys if key in averages]
    if not known:
        return base
    middle = float(np.mean(known))
    accuracy = np.array([averages.get(key, middle) for key in keys])
    return with_floor(rule(accuracy, base), base, floor)
