"""Exceptions in a log, and chains of them."""

import re
from dataclasses import dataclass, field

WRAPPERS = re.compile(r"(?:^|\.)RayTaskError\b|(?:^|\.)(?:ProcessRaisedException|ExceptionGroup|BaseExceptionGroup)$")
CARRIES = re.compile(
    r"Caught \w+ in (?:DataLoader worker|replica|pin memory)|The actor with name \S+ failed to import on the worker"
)
"""Wrappers around another exception, recognized by name (:data:`WRAPPERS`) or message (:data:`CARRIES`)."""
EMPTY = re.compile(r"(?:^|\.)(?:CancelledError|StopIteration|StopAsyncIteration|Empty|BrokenPipeError|EOFError)$")
"""Exceptions that do not tell why something ended; reported only if there is no other."""
_LIBRARIES = re.compile(r"site-packages|dist-packages|/lib/python\d|^<|^python/ray/|\.pyx$|\.pxi$|^uvloop/")
_PLUMBING = re.compile(r"/(?:ray|torch|asyncio|concurrent|multiprocessing|hydra|uvloop|pydantic)/|^<|\.pyx$|\.pxi$")


@dataclass(frozen=True, slots=True)
class Frame:
    """Frame of a traceback."""

    file: str
    line: int
    function: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line} in {self.function}"


@dataclass(slots=True)
class Raised:
    """One exception.

    Attributes:
        line: line number of its name; 0 until it is read.
        name: class name, with the module if the log has it.
        message: message, possibly several lines.
        frames: traceback, outermost frame first.
        remote: ``ray::...`` name of the task that raised it, or "" for the process itself.
        wraps: whether it only wraps the next exception.
    """

    line: int = 0
    name: str = ""
    message: str = ""
    frames: list[Frame] = field(default_factory=list)
    remote: str = ""
    wraps: bool = False

    @property
    def said(self) -> str:
        """Name and message, as Python prints them."""
        return f"{self.name}: {self.message}" if self.message else self.name

    @property
    def user_frame(self) -> Frame | None:
        """Innermost frame outside libraries; else outside frameworks such as Ray or torch; else the innermost."""
        for foreign in (_LIBRARIES, _PLUMBING):
            own = [frame for frame in self.frames if not foreign.search(frame.file)]
            if own:
                return own[-1]
        return self.frames[-1] if self.frames else None


@dataclass(slots=True)
class Chain:
    """Chain of exceptions, each raised from, or while handling, the one before it.

    Attributes:
        process: process that printed it.
        first, end: first and last line number.
        level: log level; "" if Python itself printed it.
        stamp: its time as printed, or the latest time before it; "" without any.
        seconds: the same time, for comparison; 0 without any.
        repeated: number of times that Ray received it.
        ignored: whether Python or a library reports it as ignored.
        members: exceptions in printed order, the root first.
    """

    process: str
    first: int
    end: int
    level: str = ""
    stamp: str = ""
    seconds: float = 0.0
    repeated: int = 1
    ignored: bool = False
    members: list[Raised] = field(default_factory=list)

    @property
    def root(self) -> Raised:
        """First exception that is neither a wrapper nor :data:`EMPTY`, if there is one."""
        own = [member for member in self.members if not member.wraps] or self.members
        return next((member for member in own if not EMPTY.search(member.name)), own[0])

    @property
    def last(self) -> Raised:
        return self.members[-1]
