"""Which sign is the cause: the first that nothing else explains."""

from collections.abc import Iterable
from dataclasses import dataclass

from permix_verl.explain.lines import Line, lines_of
from permix_verl.explain.signs import RANKS, Log, Sign, read_log

STEPS_AFTER = 2
"""Steps that a run has shown after an error, by which it has outlived it."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """What a log says.

    Attributes:
        cause: ``None`` where nothing failed.
        consequences: later signs, in the log's order.
        outlived: errors before the end that the run went on after.
        steps: how many of the log's lines show a run that goes on.
        length: lines of the log.
        ending: its last line.
    """

    cause: Sign | None
    consequences: tuple[Sign, ...]
    outlived: tuple[Sign, ...]
    steps: int
    length: int
    ending: Line | None

    @property
    def followed_by(self) -> int:
        """Later errors, those that Ray shows once and counts among them."""
        return sum(sign.repeated for sign in self.consequences)


def explain(raw: Iterable[str]) -> Explanation:
    """The cause in the lines of a log, and what follows from it."""
    return choose(read_log(lines_of(raw)))


def choose(log: Log) -> Explanation:
    """The most telling kind, and of it the first in time; what a run went on after is no cause."""
    outlived = [sign for sign in log.signs if _is_outlived(sign, log)]
    left = [sign for sign in log.signs if sign not in outlived]
    cause = min(left, key=_order, default=None)
    consequences = [sign for sign in left if sign is not cause]
    return Explanation(cause, tuple(consequences), tuple(outlived), len(log.steps), log.length, log.ending)


def _order(sign: Sign) -> tuple[int, int, int]:
    # Whole seconds: loggers print no more, or other ones, and within a second the log's order is the better guide.
    return RANKS.index(sign.kind), int(sign.seconds), sign.line


def _is_outlived(sign: Sign, log: Log) -> bool:
    return sign.goes_on or sum(step > sign.last for step in log.steps) >= STEPS_AFTER
