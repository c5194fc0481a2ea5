"""``eval/pairwise.py`` as a function: ask judges which of two answers is more in character, and say how often.

Both orders of a pair are asked. An answer wins where it is preferred in both; a pair whose verdict changes with the
order, or is a tie in either, is a tie. With several judges, or several runs, a problem's value is the mean of theirs.
Axes of arrays: J judges, K pairs, N problems.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from permix_verl import statistics
from permix_verl.fidelity.pairwise.pairs import ORDERS, Pairing, pair_questions
from permix_verl.inference.judges.ask import Asking
from permix_verl.inference.judges.config import Judge
from permix_verl.inference.judges.store import Judgement, JudgementStore
from permix_verl.report.html import to_html
from permix_verl.report.markdown import to_markdown
from permix_verl.report.pairwise import pairwise_document
from permix_verl.utils.costs import cost_text
from permix_verl.utils.files import write_whole

TOGETHER = "all judges"
_PREFERRED = {("ab", "first"): 1, ("ab", "second"): -1, ("ba", "first"): -1, ("ba", "second"): 1}
"""(order, choice) -> 1 where the first model's answer is preferred, -1 where the second's is."""


def compare_pairs(
    pairing: Pairing, judges: Sequence[Judge], out: Path, *, attempts: int, seed: int
) -> tuple[dict[str, Any], int]:
    """Ask what is missing and write ``pairwise.md``, ``.html`` and ``.json``.

    Returns:
        The analysis, and the number of requests that failed.

    Raises:
        UserError: a folder that was begun with other models; a judge that cannot be asked.
    """
    questions = pair_questions(pairing)
    replies: dict[str, list[Judgement | None]] = {}
    failed = 0
    store = JudgementStore(out)
    with store.writing():
        first, second = pairing.identities
        fixed = {"first": first, "second": second, "task": pairing.task}
        role = {pairing.persona.key: pairing.persona.system_prompt}
        store.begin(fixed, {"personas": role}, {"judged": {judge.label: judge.described() for judge in judges}})
        for judge in judges:
            asking = Asking(judge, store, attempts)
            print(asking.expected(questions))
            tally = asking.ask(questions, judge.label)
            if tally.asked:
                took = cost_text(tally.prompt_tokens, tally.completion_tokens, judge.price)
                print(f"{judge.label}: {tally.asked} replies in this call, {took}")
            replies[judge.label], failed = tally.verdicts, failed + tally.failed
        analysis = analyse_pairs(pairing, replies, seed=seed)
        document = pairwise_document(analysis)
        write_whole(out / "pairwise.json", json.dumps(analysis, indent=1, ensure_ascii=False) + "\n")
        write_whole(out / "pairwise.md", to_markdown(document))
        write_whole(out / "pairwise.html", to_html(document))
    return analysis, failed


def analyse_pairs(pairing: Pairing, replies: Mapping[str, Sequence[Judgement | None]], *, seed: int) -> dict[str, Any]:
    """Rates of each judge, and of all together, as plain data.

    Args:
        replies: by judge, last replies in the order of ``pairing.pair_questions``.
    """
    problems = list(dict.fromkeys(pair.problem for pair in pairing.pairs))
    column = [problems.index(pair.problem) for pair in pairing.pairs]
    outcomes_JK = np.array([_outcomes(of_judge) for of_judge in replies.values()])
    found: dict[str, Any] = {
        judge: _rates(outcomes_JK[row : row + 1], column, len(problems), seed)
        | {"position": _position(of_judge, column, len(problems)), "counts": _counts(of_judge)}
        for row, (judge, of_judge) in enumerate(replies.items())
    }
    if len(replies) > 1:
        found[TOGETHER] = _rates(outcomes_JK, column, len(problems), seed) | {"position": None, "counts": None}
    return {
        "first": pairing.labels[0],
        "second": pairing.labels[1],
        "task": pairing.task,
        "persona": pairing.persona.key,
        "problems": len(problems),
        "pairs": len(pairing.pairs),
        "left_out": pairing.left_out,
        "seed": seed,
        "judges": found,
    }


def _preferences(replies: Sequence[Judgement | None]) -> NDArray[np.float64]:
    """Shape (K, 2), by order: 1 for the first model, -1 for the second, 0 for a tie, NaN without a verdict."""
    values = [
        np.nan
        if reply is None or reply.status != "scored"
        else _PREFERRED.get((ORDERS[number % 2], str(reply.verdict)), 0)
        for number, reply in enumerate(replies)
    ]
    return np.array(values, dtype=np.float64).reshape(-1, 2)


def _outcomes(replies: Sequence[Judgement | None]) -> NDArray[np.float64]:
    """Shape (K,): 1 or -1 where both orders agree, 0 for a tie, NaN where a verdict is missing."""
    preferred_K2 = _preferences(replies)
    agreed = np.where(preferred_K2[:, 0] == preferred_K2[:, 1], preferred_K2[:, 0], 0.0)
    outcomes: NDArray[np.float64] = np.where(np.isnan(preferred_K2).any(axis=1), np.nan, agreed)
    return outcomes


def _rates(outcomes_JK: NDArray[np.float64], column: Sequence[int], problems: int, seed: int) -> dict[str, Any]:
    """Win rates, margin and test. A pair counts where every judge has a verdict."""
    whole = ~np.isnan(outcomes_JK).any(axis=0)
    judged = outcomes_JK[:, whole]
    places = np.asarray(column)[whole]

    def by_problem(values_K: NDArray[np.float64]) -> NDArray[np.float64]:
        totals = np.bincount(places, values_K, problems)
        counts = np.bincount(places, minlength=problems)
        kept: NDArray[np.float64] = totals[counts > 0] / counts[counts > 0]
        return kept

    won, lost = (by_problem((judged == side).mean(axis=0)) for side in (1, -1))
    if not len(won):
        return {"pairs": 0, "refused": "no pair has a verdict in both orders"}
    decided = "share of wins among the pairs of problems like these that are decided"
    return {
        "pairs": int(whole.sum()),
        "refused": None,
        "first_wins": asdict(_rate(won, "first model's win rate on problems like these")),
        "second_wins": asdict(_rate(lost, "second model's win rate on problems like these")),
        "ties": float(1 - (won + lost).mean()),
        "first_wins_without_ties": _plain(statistics.ratio_interval(won, won + lost, decided)),
        "net_margin": asdict(statistics.paired_interval(won, lost, "first model's win rate less the second's")),
        "p_value": statistics.sign_flip_test(won - lost, seed=seed),
    }


def _rate(values: NDArray[np.float64], estimand: str) -> statistics.Interval:
    return statistics.cluster_interval(values, estimand)


def _position(replies: Sequence[Judgement | None], column: Sequence[int], problems: int) -> dict[str, Any]:
    """How often the answer that stood first was preferred, where one was; 0.5 without a bias."""
    preferred_K2 = _preferences(replies)
    stood_first_K2 = preferred_K2 * np.array([1, -1])
    both_judged = ~np.isnan(preferred_K2).any(axis=1)  # a pair judged in one order says which answer is better, too
    first, second = ((stood_first_K2 == side).sum(axis=1) * both_judged for side in (1, -1))
    places = np.asarray(column)
    of_problem = [np.bincount(places, values, problems) for values in (first, first + second)]
    return {
        "first_preferred": _plain(
            statistics.ratio_interval(of_problem[0], of_problem[1], "share of choices for the answer that stood first")
        ),
        "flipped_to_first": int((first == 2).sum()),
        "flipped_to_second": int((second == 2).sum()),
        "judged_in_both_orders": int(both_judged.sum()),
    }


def _counts(replies: Sequence[Judgement | None]) -> dict[str, int]:
    counts = Counter("missing" if reply is None else reply.status for reply in replies)
    return {"wanted": len(replies), **counts}


def _plain(interval: statistics.Interval) -> dict[str, Any]:
    found = asdict(interval)
    return found | {"estimate": None if np.isnan(found["estimate"]) else found["estimate"]}
