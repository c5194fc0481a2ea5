"""The paper's claims, each tested on trained models: does worst accuracy rise, does PSS, is the voice kept?

A claim is that one arm has more of something than another. An arm is a training with several seeds, the base
is a single model. Two kinds of chance are kept apart:

* *problems*: on problems like these, is the difference real for the models that were trained? For each
  seed a paired t test clustered by problem. Worst and PSS are cross-fitted (``permix_verl.statistics``): the
  personas are chosen on one half of the problems and scored on the other, so noise does not set them
  apart. So "worst" is the accuracy of the persona chosen as worst; where several are nearly as bad, it lies
  above the smallest. The claim's p-value is the largest over the seeds: it holds for every one of them.
* *seeds*: would it be so with other seeds, on these problems and from this base? A t interval over the seeds'
  differences, from three seeds on.

P-values are two-sided and Holm-corrected over all claims that are tested together.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from scipy.special import stdtr, stdtrit

from permix_verl.errors import UserError
from permix_verl.statistics import cross_fitted_scores
from permix_verl.statistics.accuracy import Floats, as_correct
from permix_verl.statistics.clustered import MIN_PROBLEMS, degrees_of_freedom

Quantity = Literal["worst", "mean", "pss", "voice"]
LEVEL = 0.05
MIN_SEEDS = 3
"""For an interval over seeds."""
BASE = "base"
"""The arm whose single model is no sample of a training's seeds."""
SPLITS, INFLATION = 5, 1.25
"""Of the cross-fit. Which persona is chosen wavers with the sample, and averaging over splits does not remove that:
where personas are evenly spread, a split's standard error is too small by up to 1.24 (alike models, 16 personas,
2 runs, 200 problems, seven patterns). With 1.25 at most 5 % of such pairs differ at 5 %, and 1 % at 1 %."""

CLAIMS: tuple[tuple[Quantity, str, str], ...] = (
    ("worst", "RLVR", "base"),
    ("worst", "PerMix-RLVR", "RLVR"),
    ("pss", "RLVR", "base"),
    ("pss", "PerMix-RLVR", "RLVR"),
    ("voice", "base", "RLVR"),
    ("voice", "PerMix-RLVR", "RLVR"),
)
"""The paper's, of RL: (quantity, the arm that has more of it, the other)."""

BASELINE_CLAIMS: tuple[tuple[Quantity, str, str], ...] = (
    # Section 4.2.2, on supervised fine-tuning: it costs accuracy; targets blind to the persona raise PSS, styled ones
    # lower it; PerMix-RLVR is above all of them, in voice too.
    ("mean", "base", "SFT"),
    ("mean", "base", "PerMix-SFT"),
    ("pss", "PerMix-SFT", "base"),
    ("pss", "PerMix-SFT", "PerMix-SFT (styled)"),
    ("worst", "PerMix-RLVR", "PerMix-SFT"),
    ("worst", "PerMix-RLVR", "PerMix-SFT (styled)"),
    ("mean", "PerMix-RLVR", "PerMix-SFT"),
    ("mean", "PerMix-RLVR", "PerMix-SFT (styled)"),
    ("voice", "PerMix-RLVR", "PerMix-SFT (styled)"),
    # Sections 1 and 4.2.3: SFT and distillation are more sensitive than RLVR; distillation is below PerMix-RLVR in the
    # worst case and in voice.
    ("pss", "RLVR", "SFT"),
    ("pss", "RLVR", "SeqKD"),
    ("worst", "PerMix-RLVR", "SeqKD"),
    ("worst", "PerMix-RLVR", "SeqKD (persona)"),
    ("voice", "PerMix-RLVR", "SeqKD"),
    ("voice", "PerMix-RLVR", "SeqKD (persona)"),
)
"""The paper's, of its baselines."""


@dataclass(frozen=True)
class Answers:
    """One model on one task: P personas, R runs, N problems, in the same order for all models compared."""

    correct_PRN: Floats
    voice_PRN: Floats


@dataclass(frozen=True)
class Verdict:
    """What became of a claim.

    Attributes:
        differences: more minus other, by seed.
        p_value: two-sided, over problems, the largest of the seeds'; 1 where the seeds disagree in sign.
        holm: the same, corrected for all claims tested together.
        over_seeds: 95 % interval of the mean difference, or ``None`` with fewer than three seeds.
        seen: "seen", "contrary" or "not seen", at 5 % after correction.
    """

    task: str
    quantity: Quantity
    more: str
    other: str
    differences: tuple[float, ...]
    p_value: float
    holm: float
    over_seeds: tuple[float, float] | None
    seen: Literal["seen", "contrary", "not seen"]


def judge_claims(
    tasks: Mapping[str, Mapping[str, Sequence[Answers]]],
    claims: Sequence[tuple[Quantity, str, str]] = CLAIMS,
    *,
    seed: int = 0,
) -> list[Verdict]:
    """All claims on all tasks, corrected together.

    Args:
        tasks: task -> arm -> its models, one a seed, in the order of the seeds; an arm with one model is compared
            with each of the other's.
        seed: of the splits that worst and PSS are cross-fitted on, the same for all models.

    Raises:
        UserError: an arm that is not there, seeds that do not pair, too few problems, or other problems.
    """
    found = [_test(task, arms, claim, seed) for task, arms in tasks.items() for claim in claims]
    order = sorted(range(len(found)), key=lambda number: found[number].p_value)
    largest = 0.0
    for rank, number in enumerate(order):
        largest = max(largest, min(1.0, (len(found) - rank) * found[number].p_value))
        mean = float(np.mean(found[number].differences))
        seen: Literal["seen", "contrary", "not seen"] = "not seen"
        if largest <= LEVEL:
            seen = "seen" if mean > 0 else "contrary"
        found[number] = replace(found[number], holm=largest, seen=seen)
    return found


def _test(task: str, arms: Mapping[str, Sequence[Answers]], claim: tuple[Quantity, str, str], seed: int) -> Verdict:
    quantity, more, other = claim
    for arm in (more, other):
        if not arms.get(arm):
            raise UserError(f"task {task}: no model of arm {arm!r}; known: {', '.join(arms)}")
    first, second = arms[more], arms[other]
    seeds = max(len(first), len(second))
    if len({len(first), len(second)} - {1}) > 1:
        raise UserError(
            f"task {task}: {len(first)} models of {more} and {len(second)} of {other} do not pair; give one a seed of "
            "either, or a single one"
        )
    tested = [
        _paired(first[number % len(first)], second[number % len(second)], quantity, seed, f"task {task}")
        for number in range(seeds)
    ]
    differences = tuple(difference for difference, _ in tested)
    one_sign = len({np.sign(difference) for difference in differences}) == 1
    return Verdict(
        task=task,
        quantity=quantity,
        more=more,
        other=other,
        differences=differences,
        p_value=max(p_value for _, p_value in tested) if one_sign else 1.0,
        holm=1.0,
        over_seeds=None
        if any(arm != BASE and len(arms[arm]) == 1 for arm in (more, other))
        else _over_seeds(differences),
        seen="not seen",
    )


def _paired(first: Answers, second: Answers, quantity: Quantity, seed: int, where: str) -> tuple[float, float]:
    """Difference and two-sided p-value, clustered by problem."""
    shapes = [answers.correct_PRN.shape[::2] for answers in (first, second)]
    if shapes[0] != shapes[1] or shapes[0][1] < MIN_PROBLEMS:
        raise UserError(
            f"{where}: {shapes[0]} personas and problems against {shapes[1]}; both models need the same, and at least "
            f"{MIN_PROBLEMS} problems"
        )
    (value, effect_SN), (other, other_SN) = (influence(answers, quantity, seed) for answers in (first, second))
    difference_SN = effect_SN - other_SN
    degrees = degrees_of_freedom(difference_SN)
    if degrees == 0:
        # The same on every problem: nothing, or a sign test whose problems all point one way.
        return value - other, 1.0 if abs(value - other) < 1e-12 else 2 * 0.5 ** difference_SN.shape[1]
    error = float(np.sqrt(difference_SN.var(axis=1, ddof=1).mean() / difference_SN.shape[1]))
    if quantity in ("worst", "pss"):
        error *= INFLATION
    return value - other, float(2 * stdtr(degrees, -abs(value - other) / error))


def influence(answers: Answers, quantity: Quantity, seed: int) -> tuple[float, Floats]:
    """A quantity, and what each problem adds to it: values (S, N) whose mean's error is the quantity's.

    PSS is a ratio of two means, worst and best; to first order a problem moves it by
    (worst - PSS best) / mean best (the delta method).
    """
    if quantity in ("voice", "mean"):
        values_PRN = answers.voice_PRN if quantity == "voice" else answers.correct_PRN
        value_N = as_correct(values_PRN).mean(axis=(0, 1))
        return float(value_N.mean()), value_N[None]
    worst_SN = cross_fitted_scores(answers.correct_PRN, seed=seed, splits=SPLITS)
    if quantity == "worst":
        return float(worst_SN.mean()), worst_SN
    best_SN = cross_fitted_scores(answers.correct_PRN, seed=seed, splits=SPLITS, best=True)
    best = float(best_SN.mean())
    if best == 0:
        raise UserError("a model has no correct answer, so it has no PSS to compare")
    pss = float(worst_SN.mean()) / best
    return pss, (worst_SN - pss * best_SN) / best


def _over_seeds(differences: Sequence[float]) -> tuple[float, float] | None:
    number = len(differences)
    if number < MIN_SEEDS:
        return None
    mean, error = float(np.mean(differences)), float(np.std(differences, ddof=1)) / np.sqrt(number)
    half = float(stdtrit(number - 1, 0.975)) * error
    return float(mean - half), float(mean + half)
