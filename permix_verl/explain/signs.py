"""Signs of a failure in a log: chains of exceptions and telling lines, each with what is known of it."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from permix_verl.explain.chains import Collector
from permix_verl.explain.lines import Line
from permix_verl.explain.raised import Chain, Frame, Raised
from permix_verl.explain.signatures import SIGNATURES, Kind, Signature

RANKS: tuple[Kind, ...] = ("ours", "error", "death", "wait", "echo", "stop")
"""The more telling first."""
ANOTHER_CLOCK_S = 600.0
"""A line whose time is this much before the latest one is from a process whose clock tells another time."""
TOGETHER = 4
"""Lines within which a process that says the same thing again has not said another."""
SHOWN = 2000
"""Characters of an exception that are kept."""

_OURS = re.compile(r"(?:^|\.)UserError$|^permix_verl\.(?!.*\.(?:RolloutError|EngineDiedError|UnreachableError)$)")
_LAUNCHER = re.compile(r"^(?:error|CHECK FAILED): (?!verl ended with status)(?P<said>\S.*)")
_GOES_ON = re.compile(
    r"^step:\d+ - |^Training Progress: +\d+%|Avg prompt throughput: [1-9]|Avg generation throughput: [1-9]"
)
_MILD = ("DEBUG", "INFO", "WARNING")
_IN_LINES = tuple(signature for signature in SIGNATURES if signature.line)
_ANY_IN_LINES = re.compile("|".join(re.sub(r"\?P<\w+>", "?:", signature.pattern) for signature in _IN_LINES))


@dataclass(frozen=True, slots=True)
class Sign:
    """Something in a log that may be the cause.

    Attributes:
        kind: how telling it is.
        line: where it is named.
        first, last: lines that it takes up.
        process: who said it; of a task's exception that others print, the task.
        printed_by: whose lines these are.
        raised: whether it is an exception, and not only a line.
        stamp: the time, as the log has it; "" without one.
        seconds: the same, to compare; 0 without one.
        said: the exception, or the line.
        became: what it was raised on as, "" if as itself.
        frame: of its traceback the one nearest to the user's code.
        signature: what is known of it; ``None`` of what is not known.
        goes_on: whether whoever raised it says that it does no harm.
        repeated: how often.
    """

    kind: Kind
    line: int
    first: int
    last: int
    process: str
    printed_by: str
    raised: bool
    stamp: str
    seconds: float
    said: str
    became: str = ""
    frame: Frame | None = None
    signature: Signature | None = None
    goes_on: bool = False
    repeated: int = 1


@dataclass(frozen=True, slots=True)
class Log:
    """What a whole log has.

    Attributes:
        signs: all of them, in the order in which they are complete.
        steps: lines that show a run that goes on.
        length: lines of the log.
        ending: its last line with something in it.
    """

    signs: list[Sign]
    steps: list[int]
    length: int
    ending: Line | None


def read_log(lines: Iterable[Line]) -> Log:
    """Go through a log once."""
    collector = Collector()
    signs: list[Sign] = []
    steps: list[int] = []
    latest, latest_stamp = 0.0, ""
    line = ending = None
    for line in lines:
        seconds, stamp = latest, latest_stamp
        if line.seconds is not None and line.seconds > latest - ANOTHER_CLOCK_S:
            seconds, stamp = line.seconds, line.stamp
            latest, latest_stamp = max((latest, latest_stamp), (seconds, stamp))
        signs += [_of_chain(chain) for chain in collector.take(line, seconds, stamp)]
        if line.text.strip():
            ending = line
        if _GOES_ON.search(line.text):
            steps.append(line.number)
        elif sign := _of_line(line, seconds, stamp):
            signs.append(sign)
    signs += [_of_chain(chain) for chain in collector.finish()]
    return Log(_without_doubles(signs), steps, line.number if line else 0, ending)


def _of_line(line: Line, seconds: float, stamp: str) -> Sign | None:
    text = line.text
    if line.process.startswith("raylet"):
        text = text.strip()  # its last lines are quoted, set in
    if not text or text[0].isspace():
        return None
    fatal = line.level == "CRITICAL" and not text.startswith("Traceback")
    if not (fatal or _ANY_IN_LINES.search(text) or _LAUNCHER.match(text)):
        return None
    own = _LAUNCHER.match(text) if not (line.process or line.level) else None
    signature = next((one for one in _IN_LINES if one.regex.search(text)), None)
    if own is None and signature is None and not fatal:
        return None
    return Sign(
        kind="error" if own else signature.kind if signature else "death",
        line=line.number,
        first=line.number,
        last=line.number,
        process=line.process,
        printed_by=line.process,
        raised=False,
        stamp=stamp,
        seconds=seconds,
        said=(own["said"] if own else text)[:SHOWN].strip(),
        signature=None if own else signature,
        repeated=line.repeated,
    )


def _of_chain(chain: Chain) -> Sign:
    signature, member = _known(chain)
    ours = next((one for one in chain.members if _OURS.search(one.name)), None)
    kind: Kind = signature.kind if signature else "error"
    if ours is not None:
        signature, member, kind = None, ours, "ours"
    last = chain.last
    return Sign(
        kind=kind,
        line=member.line,
        first=chain.first,
        last=chain.end,
        process=_task(member.remote) or chain.process,
        printed_by=chain.process,
        raised=True,
        stamp=chain.stamp,
        seconds=chain.seconds,
        said=member.said[:SHOWN].strip(),
        became=last.said[:SHOWN].strip() if last is not member and not last.wraps else "",
        frame=member.user_frame,
        signature=signature,
        goes_on=chain.ignored or chain.level in _MILD,
        repeated=chain.repeated,
    )


def _known(chain: Chain) -> tuple[Signature | None, Raised]:
    """The first signature that fits a member, the more telling kinds first; its member, or else the root.

    What carries a member is searched with it: "failed to import" says more of a missing module.
    """
    carried = zip([None, *chain.members], chain.members, strict=False)
    members = [
        (f"{before.said}\n{member.said}" if before is not None and before.wraps else member.said, member)
        for before, member in carried
        if not member.wraps or len(chain.members) == 1
    ]
    for signature in sorted(SIGNATURES, key=lambda one: RANKS.index(one.kind)):
        for text, member in members:
            if signature.regex.search(text):
                if RANKS.index(signature.kind) > RANKS.index("error") and chain.root is not member:
                    break  # a chain that only ends in an echo has a cause of its own
                return signature, member
    return None, chain.root


def _task(remote: str) -> str:
    """``ray::Worker.load() (pid=3`` in words."""
    name, _, pid = remote.removeprefix("ray::").partition("() (")
    return f"{name} {pid.rstrip(',')}".strip()


def _without_doubles(signs: list[Sign]) -> list[Sign]:
    """Without lines that are a part of an exception's own, or of the same message."""
    taken = {(sign.printed_by, number) for sign in signs if sign.raised for number in range(sign.first, sign.last + 1)}
    left: list[Sign] = []
    latest: dict[tuple[str, Signature | None], int] = {}  # line of the last sign of a process and a signature
    for sign in signs:
        if not sign.raised:
            key = (sign.printed_by, sign.signature)
            again = sign.line - latest.get(key, -TOGETHER) < TOGETHER
            latest[key] = sign.line
            if again or (sign.printed_by, sign.line) in taken:
                continue
        left.append(sign)
    return left
