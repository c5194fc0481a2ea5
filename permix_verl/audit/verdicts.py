"""What the judges say of an output, and where they differ."""

from collections.abc import Mapping
from dataclasses import dataclass

LENIENT, STRICT, MATH_VERIFY = JUDGES = ("lenient", "strict", "math-verify")
STATUSES = ("correct", "wrong", "no_answer", "timeout", "error")

KINDS: dict[str, str] = {
    "lost": "lenient does not credit an answer that the label calls right",
    "credited": "lenient credits an answer that the label calls wrong",
    "lenient alone": "lenient credits the answer and math-verify does not",
    "math-verify alone": "math-verify credits the answer and lenient does not",
    "strict": "lenient and math-verify credit the answer and strict does not",
    "agreed": "no difference",
}
"""Cases by their kind of difference, those that matter most first; a case is of the first kind that fits."""
AGREED = "agreed"


@dataclass(frozen=True, slots=True)
class Verdict:
    """One judge's word.

    Attributes:
        status: one of STATUSES, as the reward file has them.
        pred: the answer that was read; empty if none was.
    """

    status: str
    pred: str

    @property
    def credit(self) -> bool:
        return self.status == "correct"


@dataclass(frozen=True, slots=True)
class Case:
    """A judged output. All texts are printable: nothing in them acts on a terminal; line breaks stand in excerpts only.

    Attributes:
        mark: what marked the answer for the reward file; "none" if nothing was read.
        gold: the answer that is wanted.
        excerpt: the end of the output.
        verdicts: judge -> its verdict.
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
    verdicts: Mapping[str, Verdict]

    @property
    def kind(self) -> str:
        """One of KINDS. A wrong answer and none differ in nothing: neither is credited."""
        lenient, strict, plain = (self.verdicts[judge].credit for judge in JUDGES)
        if self.label is not None and lenient != self.label:
            return "lost" if self.label else "credited"
        if lenient != plain:
            return "lenient alone" if lenient else "math-verify alone"
        return AGREED if lenient == strict else "strict"


def chosen(cases: list[Case], limit: int, *, agreed: bool) -> list[Case]:
    """At most so many cases, by kind: every kind gets its share, and what one leaves over goes to the others.

    Args:
        agreed: whether cases without a difference are among them, last.
    """
    places: dict[str, int] = {}
    ranked: list[tuple[bool, int, int, int, Case]] = []
    order = list(KINDS)
    for case in cases:
        kind = case.kind
        if kind != AGREED or agreed:
            places[kind] = places.get(kind, -1) + 1
            ranked.append((kind == AGREED, places[kind], order.index(kind), len(ranked), case))
    ranked.sort(key=lambda entry: entry[:4])
    return [case for *_, case in sorted(ranked[:limit], key=lambda entry: (entry[2], entry[3]))]
