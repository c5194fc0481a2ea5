"""Every output judged three ways."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from permix_verl.audit.plain import PlainMathVerify
from permix_verl.audit.printable import printable
from permix_verl.audit.rows import Row
from permix_verl.audit.verdicts import LENIENT, MATH_VERIFY, STRICT, Case, Verdict

LOT = 128
"""Outputs that are judged together."""
EXCERPT_CHARS = 600
QUESTION_CHARS = 400
NAME_CHARS = 200


def judge_rows(rows: Iterable[Row], reward: Any, plain: PlainMathVerify) -> Iterator[Case]:
    """Judge rows as they come; cases come in the same order.

    Args:
        reward: the reward file, as ``permix_verl.evaluation.scoring.load_reward`` loads it.
    """
    rows = iter(rows)
    while lot := list(islice(rows, LOT)):
        asked = [plain.submit(row.output, row.gold) for row in lot]
        outputs, golds = [row.output for row in lot], [row.gold for row in lot]
        results = reward.compute_score_batch([""] * len(lot), outputs, golds)
        for row, result, answer in zip(lot, results, asked, strict=True):
            yield _case(row, result, answer.result(), reward.STRICT_MARKS)


def strict_verdict(lenient: Verdict, mark: str, strict_marks: Iterable[str]) -> Verdict:
    """What the reward file says with ``strict=True``: an answer under another mark is not read at all."""
    elsewhere = mark not in strict_marks
    return Verdict("no_answer", "") if elsewhere and (mark or lenient.status in ("correct", "wrong")) else lenient


def _case(row: Row, result: dict[str, Any], plain: Verdict, strict_marks: Iterable[str]) -> Case:
    mark = str(result["mark"])
    lenient = Verdict(str(result["status"]), printable(str(result["pred"])))
    return Case(
        file=printable(row.file),
        line=row.line,
        name=printable(row.name),
        persona=printable(row.persona[:NAME_CHARS]),
        mark=mark or "none",
        gold=printable(_end(row.gold, NAME_CHARS)),
        question=printable(_end(row.question, QUESTION_CHARS), lines=True),
        excerpt=printable(_end(row.output, EXCERPT_CHARS), lines=True),
        label=row.label,
        verdicts={
            LENIENT: lenient,
            STRICT: strict_verdict(lenient, mark, strict_marks),
            MATH_VERIFY: Verdict(plain.status, printable(plain.pred)),
        },
    )


def _end(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"\u2026{text[-limit:]}"
