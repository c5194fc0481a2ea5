"""Signs of a failure in a log: chains of exceptions and single lines, each with its known signature, if any."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from permix_verl.explain.chains import Collector
from permix_verl.explain.lines import Line
from permix_verl.explain.raised import Chain, Frame, Raised
from permix_verl.explain.signatures import SIGNATURES, Kind, Signature

RANKS: tuple[Kind, ...] = ("ours", "error", "death", "wait", "echo", "stop")
"""Kinds of signs, the most specific first."""
CLOCK_SKEW_S = 600.0
"""A line whose time is this much before the latest comes from a process with another clock; its time is ignored."""
REPEAT_WINDOW = 4
"""Lines within which a repeated sign of the same process and signature counts as one."""
MAX_CHARS = 2000
"""Characters kept of an exception."""

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
    """Sign of a failure: an exception or a line that may be the cause.

    Attributes:
        kind: kind, see :data:`RANKS`.
        line: line number of the exception's name, or of the line.
        first, last: first and last line number.
        process: process or Ray task in which it occurred.
        printed_by: process that printed it.
        raised: whether it is an exception.
        stamp: time as printed; "" without one.
        seconds: the same time, for comparison; 0 without one.
        said: exception or line, as printed.
        became: exception that it was converted to; "" if none.
        frame: traceback frame nearest to the user's code.
        signature: known failure; ``None`` if unknown.
        goes_on: whether the log reports it as ignored or as a warning.
        repeated: number of occurrences that Ray counted.
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
    """Signs and progress in a log.

    Attributes:
        signs: all signs, in the order in which they end.
        steps: numbers of lines that show progress.
        length: number of lines.
        ending: last non-blank line.
    """

    signs: list[Sign]
    steps: list[int]
    length: int
    ending: Line | None


def read_log(lines: Iterable[Line]) -> Log:
    """Read a log in one pass."""
    collector = Collector()
    signs: list[Sign] = []
    steps: list[int] = []
    latest, latest_stamp = 0.0, ""
    line = ending = None
    for line in lines:
        seconds, stamp = latest, latest_stamp
        if line.seconds is not None and line.seconds > latest - CLOCK_SKEW_S:
            seconds, stamp = line.seconds, line.stamp
            latest, latest_stamp = max((latest, latest_stamp), (seconds, stamp))
        signs += [_chain_sign(chain) for chain in collector.add(line, seconds, stamp)]
        if line.text.strip():
            ending = line
        if _GOES_ON.search(line.text):
            steps.append(line.number)
        elif sign := _line_sign(line, seconds, stamp):
            signs.append(sign)
    signs += [_chain_sign(chain) for chain in collector.finish()]
    return Log(_without_duplicates(signs), steps, line.number if line else 0, ending)


def _line_sign(line: Line, seconds: float, stamp: str) -> Sign | None:
    text = line.text
    if line.process.startswith("raylet"):
        text = text.strip()  # it indents the last lines of a dead process
    if not text or text[0].isspace():
        return None
    fatal = line.level == "CRITICAL" and not text.startswith("Traceback")
    if not (fatal or _ANY_IN_LINES.search(text) or _LAUNCHER.match(text)):
        return None
    own = _LAUNCHER.match(text) if not (line.process or line.level) else None
    signature = next((known for known in _IN_LINES if known.regex.search(text)), None)
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
        said=(own["said"] if own else text)[:MAX_CHARS].strip(),
        signature=None if own else signature,
        repeated=line.repeated,
    )


def _chain_sign(chain: Chain) -> Sign:
    signature, member = _match_signature(chain)
    ours = next((exception for exception in chain.members if _OURS.search(exception.name)), None)
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
        said=member.said[:MAX_CHARS].strip(),
        became=last.said[:MAX_CHARS].strip() if last is not member and not last.wraps else "",
        frame=member.user_frame,
        signature=signature,
        goes_on=chain.ignored or chain.level in _MILD,
        repeated=chain.repeated,
    )


def _match_signature(chain: Chain) -> tuple[Signature | None, Raised]:
    """Return the first signature that matches a member, most specific kinds first, and the member; else the root.

    A wrapper's message is searched together with its member's: "failed to import" tells more of a missing module.
    """
    pairs = zip([None, *chain.members], chain.members, strict=False)
    members = [
        (f"{before.said}\n{member.said}" if before is not None and before.wraps else member.said, member)
        for before, member in pairs
        if not member.wraps or len(chain.members) == 1
    ]
    for signature in sorted(SIGNATURES, key=lambda known: RANKS.index(known.kind)):
        for text, member in members:
            if signature.regex.search(text):
                if RANKS.index(signature.kind) > RANKS.index("error") and chain.root is not member:
                    break  # the chain only ends in an echo: its root is the cause
                return signature, member
    return None, chain.root


def _task(remote: str) -> str:
    """Return ``Worker.load pid=3`` for ``ray::Worker.load() (pid=3``."""
    name, _, pid = remote.removeprefix("ray::").partition("() (")
    return f"{name} {pid.rstrip(',')}".strip()


def _without_duplicates(signs: list[Sign]) -> list[Sign]:
    """Drop lines that belong to an exception, and repeats of the same line."""
    taken = {(sign.printed_by, number) for sign in signs if sign.raised for number in range(sign.first, sign.last + 1)}
    kept: list[Sign] = []
    latest: dict[tuple[str, Signature | None], int] = {}  # line of the last sign of a process and a signature
    for sign in signs:
        if not sign.raised:
            key = (sign.printed_by, sign.signature)
            repeats = sign.line - latest.get(key, -REPEAT_WINDOW) < REPEAT_WINDOW
            latest[key] = sign.line
            if repeats or (sign.printed_by, sign.line) in taken:
                continue
        kept.append(sign)
    return kept
