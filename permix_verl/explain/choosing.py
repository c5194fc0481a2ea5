"""Selection of the cause: the first sign that no other explains."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from permix_verl.explain.lines import Line, parse_log_lines
from permix_verl.explain.signs import RANKS, Log, Sign, read_log

STEPS_AFTER = 2
"""Training steps after an error that show that the run outlived it."""


_CLASS_NAME = re.compile(r"^\s*class_name: (\w+)", re.MULTILINE)
"""Class of a dead actor in Ray's ActorDiedError."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """Explanation of a log.

    Attributes:
        cause: the cause; ``None`` if nothing failed.
        consequences: the other signs, in the log's order.
        outlived: errors that the run outlived.
        steps: number of lines that show progress.
        length: number of lines.
        ending: last non-blank line.
    """

    cause: Sign | None
    consequences: tuple[Sign, ...]
    outlived: tuple[Sign, ...]
    steps: int
    length: int
    ending: Line | None

    @property
    def followed_by(self) -> int:
        """Number of other errors, including repeats that Ray only counts."""
        return sum(sign.repeated for sign in self.consequences)

    @property
    def meaning(self) -> str:
        """Meaning of a known cause, with the class of a Ray actor that died; empty if the cause is not known."""
        if self.cause is None or self.cause.signature is None:
            return ""
        text = self.cause.signature.cause
        if self.cause.signature.id != "actor-gone":
            return text
        actors = (_CLASS_NAME.search(sign.said) for sign in (self.cause, *self.consequences))
        return next((f"{text}: {actor[1]}" for actor in actors if actor), text)


def explain(raw: Iterable[str]) -> Explanation:
    """Find the cause of a failure in the lines of a log."""
    return choose(read_log(parse_log_lines(raw)))


def choose(log: Log) -> Explanation:
    """Choose the earliest sign of the most specific kind; errors that the run outlived are not causes."""
    outlived = [sign for sign in log.signs if _is_outlived(sign, log)]
    remaining = [sign for sign in log.signs if sign not in outlived]
    cause = min(remaining, key=_order, default=None)
    consequences = [sign for sign in remaining if sign is not cause]
    return Explanation(cause, tuple(consequences), tuple(outlived), len(log.steps), log.length, log.ending)


def _order(sign: Sign) -> tuple[int, int, int]:
    # Whole seconds: loggers differ in precision, and within a second the order in the log is more reliable.
    return RANKS.index(sign.kind), int(sign.seconds), sign.line


def _is_outlived(sign: Sign, log: Log) -> bool:
    return sign.goes_on or sum(step > sign.last for step in log.steps) >= STEPS_AFTER
