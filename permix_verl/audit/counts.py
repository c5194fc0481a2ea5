"""How many of each, over all outputs and by group."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from permix_verl.audit.verdicts import JUDGES, KINDS, STATUSES, Case


@dataclass(slots=True)
class Tally:
    """Counts of one judge. ``lost``: of the answers that their label calls right; ``credited``: of the wrong ones."""

    statuses: Counter[str] = field(default_factory=Counter)
    lost: int = 0
    credited: int = 0


@dataclass(slots=True)
class Counts:
    """Counts of a group of outputs.

    Attributes:
        answers: all of them.
        right, wrong: those with a label, by what it says.
        judges: judge -> its tally.
        kinds: kind of difference -> cases.
    """

    answers: int = 0
    right: int = 0
    wrong: int = 0
    judges: dict[str, Tally] = field(default_factory=lambda: {judge: Tally() for judge in JUDGES})
    kinds: Counter[str] = field(default_factory=Counter)

    @property
    def labelled(self) -> int:
        return self.right + self.wrong

    @property
    def differences(self) -> int:
        return self.answers - self.kinds["agreed"]

    def add(self, case: Case) -> None:
        self.answers += 1
        self.right += case.label is True
        self.wrong += case.label is False
        self.kinds[case.kind] += 1
        for judge, tally in self.judges.items():
            verdict = case.verdicts[judge]
            tally.statuses[verdict.status] += 1
            tally.lost += case.label is True and not verdict.credit
            tally.credited += case.label is False and verdict.credit

    def plain(self) -> dict[str, Any]:
        """As JSON's types; ``lost`` and ``credited`` are ``None`` without labels."""
        return {
            "answers": self.answers,
            "labelled_right": self.right,
            "labelled_wrong": self.wrong,
            "judges": {
                judge: {
                    **{status: tally.statuses[status] for status in STATUSES},
                    "lost": tally.lost if self.labelled else None,
                    "credited": tally.credited if self.labelled else None,
                }
                for judge, tally in self.judges.items()
            },
            "differences": {kind: self.kinds[kind] for kind in KINDS},
        }


def count(cases: Iterable[Case]) -> Counts:
    found = Counts()
    for case in cases:
        found.add(case)
    return found


def count_by(cases: Sequence[Case], group: Callable[[Case], str]) -> dict[str, Counts]:
    """Counts of each group, those with the most differences first."""
    found: dict[str, Counts] = {}
    for case in cases:
        found.setdefault(group(case), Counts()).add(case)
    return dict(sorted(found.items(), key=lambda entry: (-entry[1].differences, -entry[1].answers, entry[0])))
