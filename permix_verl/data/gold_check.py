"""Golds that no answer could match: each must score as correct when the reward gets it back as the final answer."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from permix_verl.data.problem_sources import SourceRow
from permix_verl.errors import UserError

DROPPED_FILE = "dropped.jsonl"
"""File of the rows left out, in the folder of prepared data."""
_NAMED = 3
_SHOWN_CHARS = 60


@dataclass(frozen=True, slots=True)
class BadGold:
    """A row whose gold cannot be used.

    Attributes:
        row_id, where: the row and its place.
        reason: why not.
        gold: the final answer, or the text of its field where no final answer could be read.
        question: the problem.
    """

    row_id: str
    where: str
    reason: str
    gold: str
    question: str


@dataclass
class GoldCheck:
    """The check of a source's golds, chunk by chunk.

    Attributes:
        active: whether golds are given to the reward; unreadable ones are found in any case.
        bad: golds that cannot be used, in order.
        refused: number of those whose source does not drop them.
        checked: number of golds given to the reward.
    """

    active: bool = True
    bad: list[BadGold] = field(default_factory=list)
    refused: int = 0
    checked: int = 0

    def usable(self, rows: Sequence[SourceRow]) -> list[SourceRow]:
        """Return the rows whose gold can be used, in order, and note the others."""
        faults = [row.fault for row in rows]
        asked = [index for index, row in enumerate(rows) if not row.fault] if self.active else []
        statuses = _statuses([rows[index].problem.final_answer for index in asked])
        for index, status in zip(asked, statuses, strict=True):
            if status != "correct":
                faults[index] = f"{status!r} when given back as \\boxed{{{_short(rows[index].problem.final_answer)}}}"
        self.checked += len(asked)
        for row, fault in zip(rows, faults, strict=True):
            if fault:
                problem = row.problem
                gold = problem.final_answer or row.text
                self.refused += row.options.bad_golds != "drop"
                self.bad.append(BadGold(problem.row_id, row.where, fault, gold, problem.question))
        return [row for row, fault in zip(rows, faults, strict=True) if not fault]

    def refuse(self, rows: int) -> None:
        """Refuse bad golds, if there are any that are not to be dropped.

        Args:
            rows: number of rows read.

        Raises:
            UserError: names the first ones.
        """
        if not self.refused:
            return
        named = "; ".join(f"{bad.where}: {bad.reason}" for bad in self.bad[:_NAMED])
        more = f"; and {len(self.bad) - _NAMED:,} more" if len(self.bad) > _NAMED else ""
        raise UserError(
            f"{len(self.bad):,} of {rows:,} golds cannot be used, so no completion could score on their rows "
            f"({named}{more})",
            "repair them, name another --answer-field or --gold, or leave their rows out with --bad-golds drop (behind "
            "a source: bad-golds=drop)",
        )

    def write(self, folder: Path) -> None:
        """Write the rows left out to :data:`DROPPED_FILE`, as JSON Lines; no file if there are none."""
        if self.bad:
            lines = [json.dumps(asdict(bad), ensure_ascii=False) + "\n" for bad in self.bad]
            (folder / DROPPED_FILE).write_text("".join(lines), encoding="utf-8")


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]}..."


def _statuses(golds: Sequence[str]) -> list[str]:
    if not golds:
        return []
    from permix_verl.reward_fns import math_reward

    results = math_reward.compute_score_batch([""] * len(golds), [f"\\boxed{{{gold}}}" for gold in golds], golds)
    return [result["status"] for result in results]


def close_reward() -> None:
    """End the reward's worker processes, if it has started any."""
    import sys

    if module := sys.modules.get("permix_verl.reward_fns.math_reward"):
        module.close()
