"""Counts of statuses and disagreements, over all outputs and by group."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from permix_verl.audit.cases import CHECKERS, KINDS, STATUSES, AuditCase


@dataclass(slots=True)
class OutputCounts:
    """Counts of one checker.

    Attributes:
        lost: outputs labelled right that it does not credit.
        credited: outputs labelled wrong that it credits.
    """

    statuses: Counter[str] = field(default_factory=Counter)
    lost: int = 0
    credited: int = 0


@dataclass(slots=True)
class Counts:
    """Counts of a group of outputs.

    Attributes:
        outputs: number of outputs.
        right, wrong: outputs labelled right and labelled wrong.
        checkers: checker -> its tally.
        kinds: kind of difference -> number of cases.
    """

    outputs: int = 0
    right: int = 0
    wrong: int = 0
    checkers: dict[str, OutputCounts] = field(default_factory=lambda: {checker: OutputCounts() for checker in CHECKERS})
    kinds: Counter[str] = field(default_factory=Counter)

    @property
    def labelled(self) -> int:
        return self.right + self.wrong

    @property
    def differences(self) -> int:
        return self.outputs - self.kinds["agreed"]

    def add(self, case: AuditCase) -> None:
        self.outputs += 1
        self.right += case.label is True
        self.wrong += case.label is False
        self.kinds[case.kind] += 1
        for checker, tally in self.checkers.items():
            result = case.results[checker]
            tally.statuses[result.status] += 1
            tally.lost += case.label is True and not result.credit
            tally.credited += case.label is False and result.credit

    def as_json(self) -> dict[str, Any]:
        """Convert to JSON types; ``lost`` and ``credited`` are ``None`` without labels."""
        return {
            "answers": self.outputs,
            "labelled_right": self.right,
            "labelled_wrong": self.wrong,
            "judges": {
                checker: {
                    **{status: tally.statuses[status] for status in STATUSES},
                    "lost": tally.lost if self.labelled else None,
                    "credited": tally.credited if self.labelled else None,
                }
                for checker, tally in self.checkers.items()
            },
            "differences": {kind: self.kinds[kind] for kind in KINDS},
        }


def count(cases: Iterable[AuditCase]) -> Counts:
    """Count all cases."""
    counts = Counts()
    for case in cases:
        counts.add(case)
    return counts


def count_by(cases: Sequence[AuditCase], group: Callable[[AuditCase], str]) -> dict[str, Counts]:
    """Count the cases of each group; the groups with the most differences come first."""
    counts: dict[str, Counts] = {}
    for case in cases:
        counts.setdefault(group(case), Counts()).add(case)
    return dict(sorted(counts.items(), key=lambda entry: (-entry[1].differences, -entry[1].outputs, entry[0])))
