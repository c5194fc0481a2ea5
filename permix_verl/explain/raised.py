"""What the log has of an exception, and of a chain of them."""

import re
from dataclasses import dataclass, field

WRAPPERS = re.compile(r"(?:^|\.)RayTaskError\b|(?:^|\.)(?:ProcessRaisedException|ExceptionGroup|BaseExceptionGroup)$")
CARRIES = re.compile(
    r"Caught \w+ in (?:DataLoader worker|replica|pin memory)|The actor with name \S+ failed to import on the worker"
)
"""They only carry another one: by their names, and by what they say."""
EMPTY = re.compile(r"(?:^|\.)(?:CancelledError|StopIteration|StopAsyncIteration|Empty|BrokenPipeError|EOFError)$")
"""They say that something ended, not why: named only where nothing else is there."""
_LIBRARIES = re.compile(r"site-packages|dist-packages|/lib/python\d|^<|^python/ray/|\.pyx$|\.pxi$|^uvloop/")
_PLUMBING = re.compile(r"/(?:ray|torch|asyncio|concurrent|multiprocessing|hydra|uvloop|pydantic)/|^<|\.pyx$|\.pxi$")


@dataclass(frozen=True, slots=True)
class Frame:
    """A line of a traceback: where, in which function."""

    file: str
    line: int
    function: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line} in {self.function}"


@dataclass(slots=True)
class Raised:
    """One exception.

    Attributes:
        line: of the log, where it is named; 0 until it is.
        name: its class, with the module where the log has it.
        message: its text, which may have several lines.
        frames: the outermost first.
        remote: ``ray::...`` of the task whose traceback it is the end of, "" in the process itself.
        wraps: whether it only carries the next one.
    """

    line: int = 0
    name: str = ""
    message: str = ""
    frames: list[Frame] = field(default_factory=list)
    remote: str = ""
    wraps: bool = False

    @property
    def said(self) -> str:
        """The exception as Python prints it, its first lines."""
        return f"{self.name}: {self.message}" if self.message else self.name

    @property
    def user_frame(self) -> Frame | None:
        """The innermost frame that is no library's; else the innermost one of a library that does work."""
        for foreign in (_LIBRARIES, _PLUMBING):
            own = [frame for frame in self.frames if not foreign.search(frame.file)]
            if own:
                return own[-1]
        return self.frames[-1] if self.frames else None


@dataclass(slots=True)
class Chain:
    """Exceptions of which each was raised from, or while handling, the one before it.

    Attributes:
        process: who printed it.
        first, end: lines of the log that it takes up.
        level: of the logger that it went through; "" where Python itself printed it.
        stamp: its time, or the latest that the log has before it; "" without any.
        seconds: the same, to compare; 0 without any.
        repeated: how often Ray saw it.
        ignored: Python, or a library, says that it goes on all the same.
        members: as printed, so the root comes first.
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
        """The first that is its own, not a wrapper around another, and says something."""
        own = [member for member in self.members if not member.wraps] or self.members
        return next((member for member in own if not EMPTY.search(member.name)), own[0])

    @property
    def last(self) -> Raised:
        return self.members[-1]
