"""Types of the pairwise analysis: win rates of two models and position bias, by judge."""

from collections.abc import Mapping
from dataclasses import dataclass

from permix_verl.statistics import Interval


@dataclass(frozen=True, slots=True)
class WinRates:
    """Win rates of two models, as fractions of the pairs judged in both orders.

    Attributes:
        first_wins_without_ties: fraction of the decided pairs.
        net_margin: first model's win rate minus the second's.
        p_value: two-sided, by exchanging the two answers of a problem.
    """

    first_wins: Interval
    second_wins: Interval
    ties: float
    first_wins_without_ties: Interval
    net_margin: Interval
    p_value: float


@dataclass(frozen=True, slots=True)
class PositionBias:
    """Position bias of a judge.

    Attributes:
        first_preferred: fraction of the choices that went to the answer shown first.
        flipped_to_first, flipped_to_second: pairs in which the first, or the second, place was chosen in both orders.
        judged_in_both_orders: number of pairs.
    """

    first_preferred: Interval
    flipped_to_first: int
    flipped_to_second: int
    judged_in_both_orders: int


@dataclass(frozen=True, slots=True)
class JudgeResult:
    """Results of one judge, or of all together.

    Attributes:
        pairs: number of pairs judged in both orders.
        refused: the reason for refusing the rates; ``None`` if there are any.
        rates: ``None`` if refused.
        position: ``None`` for all judges together.
        counts: numbers of judgements by status, "wanted" first; ``None`` for all judges together.
    """

    pairs: int
    refused: str | None = None
    rates: WinRates | None = None
    position: PositionBias | None = None
    counts: Mapping[str, int] | None = None


@dataclass(frozen=True, slots=True)
class PairwiseAnalysis:
    """A comparison of two models on one task under one persona.

    Attributes:
        first, second: labels of the models.
        persona: its key.
        problems, pairs: numbers.
        left_out: number of completions without a counterpart in the other folder.
        seed: seed of the permutation test.
        judges: by judge, all together last.
    """

    first: str
    second: str
    task: str
    persona: str
    problems: int
    pairs: int
    left_out: int
    seed: int
    judges: Mapping[str, JudgeResult]
