"""Would a model that is blind to personas score this PSS?

Two null hypotheses, each tested by permuting persona labels within every problem, so that a
problem's difficulty stays where it is:

* ``"sharp"``: on each problem, every answer under every persona has the same chance. Single
  runs change places.
* ``"blocks"``: a persona may help on one problem and hurt on another, as long as it is drawn
  alike for all of them which it does. All runs of a persona on a problem move as one block. It
  speaks against a persona that is better or worse over all, but also against one that is more
  volatile than the others.

The drawn values also say what PSS such a model would score at this accuracy and size.
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
    """PSS under permuted persona labels.

    Attributes:
        null: "sharp" or "blocks".
        measured, measured_run_mean: ratio of means, and mean of per-run ratios.
        expected, low, high: mean and central 90 % of the ratio of means under the null.
        expected_run_mean: mean of the mean of per-run ratios under the null.
        p_value: chance under the null of a ratio of means as low as the measured one.
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
    def verdict(self) -> str:
        """In words, at 5 %; only the sharp null is invariance."""
        if self.null == "blocks":
            return (
                "no persona is distinguishably better or worse over all"
                if self.p_value > 0.05
                else "some persona is better or worse over all, or more volatile"
            )
        if self.p_value > 0.05:
            return "not distinguishable from persona-invariant"
        return "less stable than a persona-invariant model would be"


def invariance_test(correct_PRN: ArrayLike, null: Null = "sharp", *, seed: int, draws: int = 2000) -> InvarianceTest:
    """Permutation test of persona invariance, one-sided (low PSS speaks against it).

    The p-value counts the measured value among the draws, so it is at least 1 / (draws + 1).

    Raises:
        UserError: an unknown null, no draws, or no correct answer at all.
    """
    if draws < 1:
        raise UserError(f"draws is {draws}; it must be 1 or more")
    if null not in NULLS:
        raise UserError(f"unknown null {null!r}; known: {', '.join(NULLS)}")
    correct = as_correct(correct_PRN)
    measured = float(pss(persona_accuracy(correct)))
    if np.isnan(measured):
        raise UserError("no answer is correct, so there is no PSS to test; use an easier task or a stronger model")
    generator = np.random.default_rng(seed)
    ratios, run_ratios = np.empty(draws), np.empty(draws)
    permute = _permute_runs if null == "sharp" else _permute_blocks
    for draw in range(draws):
        accuracy_PR = permute(correct, generator)
        ratios[draw] = pss(accuracy_PR.mean(axis=1))
        run_ratios[draw] = pss(accuracy_PR).mean()
    # A little tolerance: equal sums in another order may differ in the last digit.
    as_low = int((ratios <= measured + 1e-12).sum())
    return InvarianceTest(
        null=null,
        measured=measured,
        measured_run_mean=mean_of_run_pss(correct),
        expected=float(ratios.mean()),
        low=float(np.quantile(ratios, 0.05)),
        high=float(np.quantile(ratios, 0.95)),
        expected_run_mean=float(run_ratios.mean()),
        p_value=(as_low + 1) / (draws + 1),
        draws=draws,
    )


def _permute_runs(correct: Floats, generator: np.random.Generator) -> Floats:
    """Accuracies (P, R) after all P x R answers to each problem changed places."""
    personas, runs, number = correct.shape
    cells = np.ascontiguousarray(correct.reshape(personas * runs, number).T)
    sums: Floats = generator.permuted(cells, axis=1).sum(axis=0, dtype=np.float64)
    return sums.reshape(personas, runs) / number


def _permute_blocks(correct: Floats, generator: np.random.Generator) -> Floats:
    """Accuracies (P, R) after the personas' blocks of R answers changed places within each problem."""
    personas, _, number = correct.shape
    order_PN = generator.permuted(np.tile(np.arange(personas)[:, None], number), axis=0)
    accuracy: Floats = np.take_along_axis(correct, order_PN[:, None, :], axis=0).mean(axis=2)
    return accuracy
