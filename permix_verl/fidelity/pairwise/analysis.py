"""Run ``eval/pairwise.py``: ask judges which of two answers is more in character, and estimate win rates.

A judge sees each pair in both orders. An answer wins if it is preferred in both. The pair is a tie if the choice
changes with the order, or is a tie in either order. With several judges or runs, a problem's value is their mean.
Axes of arrays: J judges, K pairs, N problems.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from permix_verl import statistics
from permix_verl.fidelity.pairwise.analysis_types import JudgeResult, PairwiseAnalysis, PositionBias, WinRates
from permix_verl.fidelity.pairwise.pairs import ORDERS, Pairing, pair_questions
from permix_verl.inference.judges.ask import JudgeClient
from permix_verl.inference.judges.config import Judge
from permix_verl.inference.judges.store import Judgement, JudgementStore

TOGETHER = "all judges"
_PREFERRED = {("ab", "first"): 1, ("ab", "second"): -1, ("ba", "first"): -1, ("ba", "second"): 1}
"""(order, choice) -> 1 if the first model's answer is preferred, -1 if the second's is."""


def compare_pairs(
    pairing: Pairing,
    judges: Sequence[Judge],
    out: Path,
    *,
    attempts: int,
    seed: int,
    finish: Callable[[PairwiseAnalysis], None] = lambda analysis: None,
) -> tuple[PairwiseAnalysis, int]:
    """Request the missing judgements, and analyse all.

    Args:
        out: folder of the :class:`~permix_verl.inference.judges.store.JudgementStore`.
        attempts: most replies of a judge to a question, until one parses.
        seed: seed of the permutation test.
        finish: callback that writes the analysis while the folder is locked.

    Returns:
        The analysis, and the number of failed requests.

    Raises:
        UserError: the folder belongs to other models, or a judge cannot be reached.
    """
    questions = pair_questions(pairing)
    replies: dict[str, list[Judgement | None]] = {}
    failed = 0
    store = JudgementStore(out)
    with store.writing():
        first, second = pairing.identities
        fixed = {"first": first, "second": second, "task": pairing.task}
        role = {pairing.persona.key: pairing.persona.system_prompt}
        store.begin(fixed, {"personas": role}, {"judged": {judge.label: judge.describe() for judge in judges}})
        for judge in judges:
            tally = JudgeClient(judge, store, attempts).ask_with_costs(questions)
            replies[judge.label], failed = tally.judgements, failed + tally.failed
        analysis = analyse_pairs(pairing, replies, seed=seed)
        finish(analysis)
    return analysis, failed


def analyse_pairs(
    pairing: Pairing, replies: Mapping[str, Sequence[Judgement | None]], *, seed: int
) -> PairwiseAnalysis:
    """Estimate win rates for each judge and for all together.

    Args:
        replies: by judge, last judgements in the order of :func:`~permix_verl.fidelity.pairwise.pairs.pair_questions`.
        seed: seed of the permutation test.
    """
    problems = list(dict.fromkeys(pair.problem for pair in pairing.pairs))
    column = [problems.index(pair.problem) for pair in pairing.pairs]
    outcomes_JK = np.array([_outcomes(judgements) for judgements in replies.values()])
    judges = {
        judge: replace(
            _rates(outcomes_JK[row : row + 1], column, len(problems), seed),
            position=_position(judgements, column, len(problems)),
            counts=_counts(judgements),
        )
        for row, (judge, judgements) in enumerate(replies.items())
    }
    if len(replies) > 1:
        judges[TOGETHER] = _rates(outcomes_JK, column, len(problems), seed)
    return PairwiseAnalysis(
        first=pairing.labels[0],
        second=pairing.labels[1],
        task=pairing.task,
        persona=pairing.persona.key,
        problems=len(problems),
        pairs=len(pairing.pairs),
        left_out=pairing.left_out,
        seed=seed,
        judges=judges,
    )


def _preferences(replies: Sequence[Judgement | None]) -> NDArray[np.float64]:
    """Return shape (K, 2), by order: 1 for the first model, -1 for the second, 0 for a tie, NaN without a choice."""
    values = [
        np.nan
        if reply is None or reply.status != "scored"
        else _PREFERRED.get((ORDERS[number % 2], str(reply.verdict)), 0)
        for number, reply in enumerate(replies)
    ]
    return np.array(values, dtype=np.float64).reshape(-1, 2)


def _outcomes(replies: Sequence[Judgement | None]) -> NDArray[np.float64]:
    """Return shape (K,): 1 or -1 where both orders agree, 0 for a tie, NaN where a choice is missing."""
    preferred_K2 = _preferences(replies)
    agreed = np.where(preferred_K2[:, 0] == preferred_K2[:, 1], preferred_K2[:, 0], 0.0)
    outcomes: NDArray[np.float64] = np.where(np.isnan(preferred_K2).any(axis=1), np.nan, agreed)
    return outcomes


def _rates(outcomes_JK: NDArray[np.float64], column: Sequence[int], problems: int, seed: int) -> JudgeResult:
    """Estimate win rates, margin and test from the pairs that every judge has judged in both orders.

    Args:
        column: index of each pair's problem.
        problems: number of problems.
    """
    complete = ~np.isnan(outcomes_JK).any(axis=0)
    judged = outcomes_JK[:, complete]
    problem_K = np.asarray(column)[complete]

    def by_problem(values_K: NDArray[np.float64]) -> NDArray[np.float64]:
        totals = np.bincount(problem_K, values_K, problems)
        counts = np.bincount(problem_K, minlength=problems)
        means: NDArray[np.float64] = totals[counts > 0] / counts[counts > 0]
        return means

    won, lost = (by_problem((judged == side).mean(axis=0)) for side in (1, -1))
    if not len(won):
        return JudgeResult(pairs=0, refused="no pair has a verdict in both orders")
    decided = "share of wins among the pairs of problems like these that are decided"
    rates = WinRates(
        first_wins=_rate(won, "first model's win rate on problems like these"),
        second_wins=_rate(lost, "second model's win rate on problems like these"),
        ties=float(1 - (won + lost).mean()),
        first_wins_without_ties=statistics.ratio_interval(won, won + lost, decided),
        net_margin=statistics.paired_interval(won, lost, "first model's win rate less the second's"),
        p_value=statistics.sign_flip_test(won - lost, seed=seed),
    )
    return JudgeResult(int(complete.sum()), rates=rates)


def _rate(values: NDArray[np.float64], estimand: str) -> statistics.Interval:
    return statistics.cluster_interval(values, estimand)


def _position(replies: Sequence[Judgement | None], column: Sequence[int], problems: int) -> PositionBias:
    """Estimate position bias: how often the answer shown first is chosen when one is; 0.5 without bias."""
    preferred_K2 = _preferences(replies)
    chose_first_K2 = preferred_K2 * np.array([1, -1])
    both_judged = ~np.isnan(preferred_K2).any(axis=1)  # one order alone confounds position with quality
    first, second = ((chose_first_K2 == side).sum(axis=1) * both_judged for side in (1, -1))
    by_problem = [np.bincount(np.asarray(column), values, problems) for values in (first, first + second)]
    return PositionBias(
        first_preferred=statistics.ratio_interval(
            by_problem[0], by_problem[1], "share of choices for the answer that stood first"
        ),
        flipped_to_first=int((first == 2).sum()),
        flipped_to_second=int((second == 2).sum()),
        judged_in_both_orders=int(both_judged.sum()),
    )


def _counts(replies: Sequence[Judgement | None]) -> dict[str, int]:
    counts = Counter("missing" if reply is None else reply.status for reply in replies)
    return {"wanted": len(replies), **counts}
