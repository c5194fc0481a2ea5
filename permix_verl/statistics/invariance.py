"""Permutation tests of persona invariance: would a model that ignores personas score this PSS?

Each null hypothesis is tested by permuting persona labels within every problem, which preserves
the problems' difficulty:

* ``"sharp"``: on each problem, all completions have the same chance to be correct, whatever the
  persona. Single runs are permuted.
* ``"blocks"``: a persona may help on one problem and hurt on another, as long as every persona
  has the same distribution of such effects. All runs of a persona on a problem are permuted as
  one block. Rejection means that a persona is better or worse overall, or more volatile.

The permutation distribution is also the PSS that a persona-invariant model would score at this
accuracy and sample size.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from permix_verl.errors import UserError
from permix_verl.statistics.accuracy import Floats, as_correct, mean_of_run_pss, persona_accuracy, pss

Null = Literal["sharp", "blocks"]
NULLS: tuple[Null, ...] = ("sharp", "blocks")


@dataclass(frozen=True, slots=True)
class InvarianceTest:
    """A permutation test of PSS.

    Attributes:
        null: "sharp" or "blocks".
        measured, measured_run_mean: PSS as ratio of means, and as mean of per-run ratios.
        expected, low, high: mean and central 90 % of the ratio of means under the null.
        expected_run_mean: expected mean of per-run ratios under the null.
        p_value: probability under the null of a ratio of means at or below the measured one.
        draws: number of permutations (the key in report.json).
    """

    null: Null
    measured: float
    measured_run_mean: float
    expected: float
    low: float
    high: float
    expected_run_mean: float
    p_value: float
    draws: int

    @property
    def conclusion(self) -> str:
        """The conclusion at the 5 % level, in words; only the sharp null is persona invariance."""
        if self.null == "blocks":
            return (
                "no persona is distinguishably better or worse over all"
                if self.p_value > 0.05
                else "some persona is better or worse over all, or more volatile"
            )
        if self.p_value > 0.05:
            return "not distinguishable from persona-invariant"
        return "less stable than a persona-invariant model would be"


def invariance_test(
    correct_PRN: ArrayLike, null: Null = "sharp", *, seed: int, resamples: int = 2000
) -> InvarianceTest:
    """Test persona invariance by permutation, one-sided: a low PSS is evidence against it.

    The p-value counts the measured value as one of the permutations, so it is at least 1 / (resamples + 1).

    Args:
        correct_PRN: 0/1 correctness, shape (P, R, N).
        resamples: number of permutations.

    Raises:
        UserError: an unknown null, no resamples, or no correct completion.
    """
    if resamples < 1:
        raise UserError(f"resamples is {resamples}", "give 1 or more")
    if null not in NULLS:
        raise UserError(f"unknown null {null!r}", f"known: {', '.join(NULLS)}")
    correct = as_correct(correct_PRN)
    measured = float(pss(persona_accuracy(correct)))
    if np.isnan(measured):
        raise UserError("no completion is correct, so PSS is undefined", "use an easier task or a stronger model")
    generator = np.random.default_rng(seed)
    ratios, run_ratios = np.empty(resamples), np.empty(resamples)
    permute = _permute_runs if null == "sharp" else _permute_blocks
    for resample in range(resamples):
        accuracy_PR = permute(correct, generator)
        ratios[resample] = pss(accuracy_PR.mean(axis=1))
        run_ratios[resample] = pss(accuracy_PR).mean()
    # With a tolerance, since equal sums in another order may differ in the last digit.
    as_low = int((ratios <= measured + 1e-12).sum())
    return InvarianceTest(
        null=null,
        measured=measured,
        measured_run_mean=mean_of_run_pss(correct),
        expected=float(ratios.mean()),
        low=float(np.quantile(ratios, 0.05)),
        high=float(np.quantile(ratios, 0.95)),
        expected_run_mean=float(run_ratios.mean()),
        p_value=(as_low + 1) / (resamples + 1),
        draws=resamples,
    )


def _permute_runs(correct: Floats, generator: np.random.Generator) -> Floats:
    """Permute all P x R completions of each problem and return the accuracies, shape (P, R)."""
    personas, runs, number = correct.shape
    cells = np.ascontiguousarray(correct.reshape(personas * runs, number).T)
    sums: Floats = generator.permuted(cells, axis=1).sum(axis=0, dtype=np.float64)
    return sums.reshape(personas, runs) / number


def _permute_blocks(correct: Floats, generator: np.random.Generator) -> Floats:
    """Permute the personas' blocks of R completions within each problem and return the accuracies, shape (P, R)."""
    personas, _, number = correct.shape
    order_PN = generator.permuted(np.tile(np.arange(personas)[:, None], number), axis=0)
    accuracy: Floats = np.take_along_axis(correct, order_PN[:, None, :], axis=0).mean(axis=2)
    return accuracy
