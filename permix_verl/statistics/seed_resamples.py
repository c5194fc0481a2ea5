"""Resamples of the problems for all models of one method, and how far each quantity lies from its truth in them.

``training_seeds`` pools them and has the sources.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from permix_verl.errors import UserError
from permix_verl.statistics.accuracy import Floats, as_correct, pss
from permix_verl.statistics.clustered import bootstrap_accuracy, cluster_interval
from permix_verl.statistics.pss_interval import pss_refusal

Quantity = Literal["worst", "best", "mean", "pss"]
ESTIMANDS: Mapping[Quantity, str] = {
    "worst": "smallest accuracy of these personas",
    "best": "largest accuracy of these personas",
    "mean": "accuracy averaged over the personas",
    "pss": "smallest over largest accuracy of these personas",
}
MIN_SEEDS = 2
"""Fewest training seeds with a variance between them."""
NEAR = 3.0
"""Standard errors of its distance to the measured minimum within which another value may be the true minimum."""


@dataclass(frozen=True, slots=True)
class SeedResamples:
    """One quantity of the S models of a method, and its noise over B resamples of the N problems.

    Attributes:
        by_seed: the measured quantity of each model, length S.
        above_B: resamples of how far the estimate lies above the true mean of these models, shape (B,); NaN if refused.
        below_B: resamples of how far it lies below.
        scores_N: each problem's share of the quantity, averaged over the models, shape (N,).
        refused: the reason for giving no interval; ``None`` if there is one.
    """

    quantity: Quantity
    by_seed: tuple[float, ...]
    above_B: Floats
    below_B: Floats
    scores_N: Floats
    refused: str | None = None

    @property
    def problems(self) -> int:
        """N."""
        return len(self.scores_N)


def resample_seeds(
    correct_SPRN: Sequence[ArrayLike], *, seed: int, resamples: int = 4000
) -> dict[Quantity, SeedResamples]:
    """Resample the problems for all models of a method at once.

    The same seed and number of problems give the same resamples, which pairs those of two methods.

    Args:
        correct_SPRN: 0/1 correctness of each model, shape (P, R, N), on the same N problems in the same order.
        resamples: bootstrap resamples of the problems.

    Returns:
        The noise of each quantity.

    Raises:
        UserError: no model, an array of another shape, or models with different numbers of problems.
    """
    correct = [as_correct(correct_PRN) for correct_PRN in correct_SPRN]
    problems = {correct_PRN.shape[2] for correct_PRN in correct}
    if len(problems) != 1:
        raise UserError(f"{len(correct)} models with {sorted(problems)} problems", "give models on the same problems")
    accuracy_SP = [correct_PRN.mean(axis=(1, 2)) for correct_PRN in correct]
    resampled_SBP = [bootstrap_accuracy(correct_PRN, resamples, seed=seed) for correct_PRN in correct]
    result: dict[Quantity, SeedResamples] = {}
    for quantity in ESTIMANDS:
        by_seed = tuple(_measured(quantity, accuracy_P) for accuracy_P in accuracy_SP)
        scores_N = np.mean([_scores(quantity, correct_PRN.mean(axis=1)) for correct_PRN in correct], axis=0)
        refused = _refusal_reason(quantity, correct)
        noise_2SB = np.full((2, len(correct), resamples), np.nan)
        if not refused:
            for model, (accuracy_P, resampled_BP) in enumerate(zip(accuracy_SP, resampled_SBP, strict=True)):
                noise_2SB[:, model] = _noise(quantity, accuracy_P, resampled_BP)
        above_B, below_B = noise_2SB.mean(axis=1)
        result[quantity] = SeedResamples(quantity, by_seed, above_B, below_B, scores_N, refused)
    return result


def _measured(quantity: Quantity, accuracy_P: Floats) -> float:
    if quantity == "worst":
        return float(accuracy_P.min())
    if quantity == "best":
        return float(accuracy_P.max())
    return float(accuracy_P.mean() if quantity == "mean" else pss(accuracy_P))


def _scores(quantity: Quantity, scores_PN: Floats) -> Floats:
    """Return each problem's share of a model's quantity, shape (N,); for PSS, in its first-order expansion."""
    if quantity == "mean":
        mean_N: Floats = scores_PN.mean(axis=0)
        return mean_N
    accuracy_P = scores_PN.mean(axis=1)
    worst_N, best_N = scores_PN[accuracy_P.argmin()], scores_PN[accuracy_P.argmax()]
    if quantity != "pss":
        return worst_N if quantity == "worst" else best_N
    return worst_N - pss(accuracy_P) * best_N


def _refusal_reason(quantity: Quantity, correct_SPRN: Sequence[Floats]) -> str | None:
    """Return the reason why a model's interval over problems does not hold, or that there is one model."""
    if len(correct_SPRN) < MIN_SEEDS:
        return f"{len(correct_SPRN)} training seed; at least {MIN_SEEDS} are needed"
    for number, correct_PRN in enumerate(correct_SPRN, start=1):
        scores_PN, accuracy_P = correct_PRN.mean(axis=1), correct_PRN.mean(axis=(1, 2))
        if quantity == "pss":
            reason = pss_refusal(correct_PRN)
        elif quantity == "mean":
            reason = cluster_interval(scores_PN.mean(axis=0), "").refused
        else:
            extreme = accuracy_P.argmin() if quantity == "worst" else accuracy_P.argmax()
            reason = cluster_interval(scores_PN[extreme], "").refused
        if reason:
            return f"model {number} of {len(correct_SPRN)}: {reason}"
    return None


def _noise(quantity: Quantity, accuracy_P: Floats, resampled_BP: Floats) -> tuple[Floats, Floats]:
    """Return resamples of how far a model's quantity lies above and below the truth, shape (B,) each."""
    value_K, resampled_BK = _candidates(quantity, accuracy_P), _candidates(quantity, resampled_BP)
    noise_BK = value_K - resampled_BK  # mirrored: skew lengthens the side that needs it
    smallest = int(value_K.argmin())
    error_K = (noise_BK - noise_BK[:, [smallest]]).std(axis=0)
    near_K = value_K - value_K[smallest] <= NEAR * error_K + 1e-12
    above_B, below_B = noise_BK[:, smallest], (-noise_BK[:, near_K]).max(axis=1)
    return (below_B, above_B) if quantity == "best" else (above_B, below_B)


def _candidates(quantity: Quantity, accuracy_P: Floats) -> Floats:
    """Return the values (..., K) whose minimum is the quantity, from accuracies (..., P); for best, its negative."""
    if quantity == "mean":
        mean_1: Floats = accuracy_P.mean(axis=-1, keepdims=True)
        return mean_1
    if quantity != "pss":
        return accuracy_P if quantity == "worst" else -accuracy_P
    ratio_PP = accuracy_P[..., :, None] / accuracy_P[..., None, :]  # positive where PSS has an interval
    return ratio_PP.reshape(*accuracy_P.shape[:-1], -1)
