"""Results of the three checkers on one output, and how they differ."""

from collections.abc import Mapping
from dataclasses import dataclass

LENIENT, STRICT, MATH_VERIFY = CHECKERS = ("lenient", "strict", "math-verify")
STATUSES = ("correct", "wrong", "no_answer", "timeout", "error")

KINDS: dict[str, str] = {
    "lost": "lenient does not credit an answer that the label calls right",
    "credited": "lenient credits an answer that the label calls wrong",
    "lenient alone": "lenient credits the answer and math-verify does not",
    "math-verify alone": "math-verify credits the answer and lenient does not",
    "strict": "lenient and math-verify credit the answer and strict does not",
    "agreed": "no difference",
}
"""Kinds of difference, most important first; a case belongs to the first kind that fits."""
AGREED = "agreed"


@dataclass(frozen=True, slots=True)
class CheckResult:
    """Result of one checker on one output.

    Attributes:
        status: one of STATUSES, the reward file's.
        pred: the extracted answer; empty if none.
    """

    status: str
    pred: str

    @property
    def credit(self) -> bool:
        """True if the answer counts as correct."""
        return self.status == "correct"


@dataclass(frozen=True, slots=True)
class AuditCase:
    """A checked output. All texts are escaped by ``printable``; only question and excerpt have line breaks.

    Attributes:
        mark: how the reward file located the answer; "none" if it found none.
        gold: expected answer.
        excerpt: end of the output.
        label: True if labelled right, ``None`` without a label.
        results: checker -> its result.
    """

    file: str
    line: int
    name: str
    persona: str
    mark: str
    gold: str
    question: str
    excerpt: str
    label: bool | None
    results: Mapping[str, CheckResult]

    @property
    def kind(self) -> str:
        """One of KINDS. A wrong answer and no answer count as the same: neither is credited."""
        lenient, strict, peer = (self.results[checker].credit for checker in CHECKERS)
        if self.label is not None and lenient != self.label:
            return "lost" if self.label else "credited"
        if lenient != peer:
            return "lenient alone" if lenient else "math-verify alone"
        return AGREED if lenient == strict else "strict"


def select_cases(cases: list[AuditCase], limit: int, *, agreed: bool) -> list[AuditCase]:
    """Select at most ``limit`` cases, spread evenly over the kinds; a kind with few cases leaves its places to others.

    Args:
        agreed: include cases without a difference, after all others.
    """
    ranks: dict[str, int] = {}
    ranked: list[tuple[bool, int, int, int, AuditCase]] = []
    order = list(KINDS)
    for case in cases:
        kind = case.kind
        if kind != AGREED or agreed:
            ranks[kind] = ranks.get(kind, -1) + 1
            ranked.append((kind == AGREED, ranks[kind], order.index(kind), len(ranked), case))
    ranked.sort(key=lambda entry: entry[:4])
    return [case for *_, case in sorted(ranked[:limit], key=lambda entry: (entry[2], entry[3]))]
