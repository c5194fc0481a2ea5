"""Check every output three ways: reward file, its strict mode, math-verify."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from permix_verl.audit.cases import LENIENT, MATH_VERIFY, STRICT, AuditCase, CheckResult
from permix_verl.audit.math_verify_pool import MathVerifyPool
from permix_verl.audit.printable import printable
from permix_verl.audit.rows import OutputRow

BATCH_SIZE = 128
"""Outputs in one call of the reward file."""
EXCERPT_CHARS = 600
QUESTION_CHARS = 400
NAME_CHARS = 200


def check_rows(rows: Iterable[OutputRow], reward: Any, pool: MathVerifyPool) -> Iterator[AuditCase]:
    """Check a stream of rows; cases come in the same order.

    Args:
        reward: module returned by ``permix_verl.evaluation.scoring.load_reward``.
        pool: math-verify's workers.
    """
    rows = iter(rows)
    while batch := list(islice(rows, BATCH_SIZE)):
        futures = [pool.submit(row.output, row.gold) for row in batch]
        outputs, golds = [row.output for row in batch], [row.gold for row in batch]
        results = reward.compute_score_batch([""] * len(batch), outputs, golds)
        for row, result, future in zip(batch, results, futures, strict=True):
            yield _case(row, result, future.result(), reward.STRICT_MARKS)


def strict_result(lenient: CheckResult, mark: str, strict_marks: Iterable[str]) -> CheckResult:
    """Derive the result with ``strict=True``: an answer without a strict mark is not read."""
    elsewhere = mark not in strict_marks
    return CheckResult("no_answer", "") if elsewhere and (mark or lenient.status in ("correct", "wrong")) else lenient


def _case(row: OutputRow, result: dict[str, Any], peer: CheckResult, strict_marks: Iterable[str]) -> AuditCase:
    mark = str(result["mark"])
    lenient = CheckResult(str(result["status"]), printable(str(result["pred"])))
    return AuditCase(
        file=printable(row.file),
        line=row.line,
        name=printable(row.name),
        persona=printable(row.persona[:NAME_CHARS]),
        mark=mark or "none",
        gold=printable(_tail(row.gold, NAME_CHARS)),
        question=printable(_tail(row.question, QUESTION_CHARS), lines=True),
        excerpt=printable(_tail(row.output, EXCERPT_CHARS), lines=True),
        label=row.label,
        results={
            LENIENT: lenient,
            STRICT: strict_result(lenient, mark, strict_marks),
            MATH_VERIFY: CheckResult(peer.status, printable(peer.pred)),
        },
    )


def _tail(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"\u2026{text[-limit:]}"
