"""Collector of tracebacks from a log in which the lines of several processes are interleaved.

Every process has its own state, because lines of others may stand between the lines of one traceback.
"""

import re
from collections.abc import Iterator

from permix_verl.explain.lines import Line
from permix_verl.explain.raised import CARRIES, WRAPPERS, Chain, Frame, Raised

MESSAGE_LINES = 14
"""Maximum lines of an exception's message."""
LOST_LINES = 40
"""Unrelated lines within a traceback after which it is considered to have ended."""

_HEADER = re.compile(r"Traceback \(most recent call last\):\s*$")
_FRAME = re.compile(r'\s+File "(?P<file>[^"]+)", line (?P<line>\d+)(?:, in (?P<function>.+))?$')
_NAMED = re.compile(r"(?P<name>[A-Za-z_][\w.]*(?:\([\w.]+\))?)(?::(?: (?P<message>.*)|$)|$)")
_ALONE = re.compile(
    r"(?P<name>(?:[a-z_][\w.]*\.)?(?:[A-Z]\w*(?:Error|Exception|Timeout|Invalid)|KeyboardInterrupt)(?:\([\w.]+\))?)"
    r"(?:: (?P<message>\S.*)|:?$)"
)
_REPR = re.compile(r"(?P<name>[A-Z]\w*(?:Error|Exception))\((?P<message>['\"].*)\)$")
"""Exception as a repr, which is how Hydra prints it."""
_REMOTE = re.compile(r"(?P<who>ray::[^\s()]+\(\) \(pid=\d+[^\s)]*)")
_LINKED = re.compile(
    r"During handling of the above exception, another exception occurred|"
    r"The above exception was the direct cause of the following exception"
)
_GROUP = re.compile(r"^ *\+-[+-]+.*|^ *\| ?| *\+ (?=Exception Group)")
_IGNORED = re.compile(r"^Exception ignored in|--- Logging error ---|Exception ignored on calling")


class _Stream:
    """Parser state of one process."""

    def __init__(self) -> None:
        self.chain: Chain | None = None
        self.raised: Raised | None = None  # exception whose frames or message are being read
        self.in_text = False
        self.linked = False
        self.after_blank = False
        self.lost = 0
        self.logger = ("", "")
        self.before = ""


class Collector:
    """Collector of lines into chains of exceptions."""

    def __init__(self) -> None:
        self._streams: dict[str, _Stream] = {}

    def add(self, line: Line, seconds: float, stamp: str) -> Iterator[Chain]:
        """Add the next line and yield the chains that end before it.

        Args:
            seconds: the line's time, or the latest before it.
            stamp: the same time, as printed.
        """
        stream = self._streams.get(line.process) or self._streams.setdefault(line.process, _Stream())
        text = _GROUP.sub("", line.text) if line.text.lstrip()[:1] in ("|", "+") else line.text
        if stream.chain is not None and not self._continues(stream, line, text):
            yield from self._close(stream)
        if stream.chain is None:
            self._begin(stream, line, text, seconds, stamp)
        if text.strip():
            stream.before = text

    def finish(self) -> Iterator[Chain]:
        """Yield the chains that are open at the end of the log."""
        for stream in self._streams.values():
            yield from self._close(stream)

    def _begin(self, stream: _Stream, line: Line, text: str, seconds: float, stamp: str) -> None:
        header, remote = _HEADER.search(text) or _FRAME.match(text), _REMOTE.search(text)
        alone = _ALONE.match(text) or _REPR.match(text)
        if not (header or alone or (remote and not line.level)):
            return
        chain = Chain(
            process=line.process,
            first=line.number,
            end=line.number,
            level=line.level,
            stamp=stamp,
            seconds=seconds,
            repeated=line.repeated,
            ignored=bool(_IGNORED.search(stream.before) or _IGNORED.search(text)),
        )
        stream.chain, stream.logger = chain, (line.level, line.source)
        stream.linked = stream.after_blank = stream.in_text = False
        stream.lost = 0
        if header:  # or a frame, if the log begins inside a traceback
            self._new(stream)
            self._frames(stream, line, text)
        elif alone:
            self._new(stream)
            self._name(stream, line.number, alone["name"], alone["message"] or "")
        elif remote:
            self._new(stream, remote["who"])

    def _continues(self, stream: _Stream, line: Line, text: str) -> bool:
        """Add the line to the open chain; return whether it belongs to it."""
        assert stream.chain is not None
        if (line.level, line.source) != stream.logger:
            # A line of another logger: unrelated inside a traceback; after the message it ends the chain.
            return not stream.in_text and self._lose(stream)
        stream.chain.repeated = max(stream.chain.repeated, line.repeated)
        if not stream.after_blank:
            stream.chain.end = line.number
        if not text.strip():
            stream.after_blank = stream.in_text
            return True
        if _LINKED.search(text):
            stream.linked, stream.in_text = True, False
            return True
        if _HEADER.search(text):
            if not (stream.linked or stream.raised is None or stream.raised.wraps):
                return False
            self._new(stream)
            return True
        remote = _REMOTE.match(text)
        if remote and (stream.linked or not stream.in_text or (stream.raised is not None and stream.raised.wraps)):
            self._new(stream, remote["who"])
            return True
        if stream.raised is None:
            return self._lose(stream)
        return self._text(stream, line, text) if stream.in_text else self._frames(stream, line, text)

    def _frames(self, stream: _Stream, line: Line, text: str) -> bool:
        assert stream.raised is not None
        if match := _FRAME.match(text):
            stream.raised.frames.append(Frame(match["file"], int(match["line"]), match["function"] or "<module>"))
        elif text[:1] != " " and (match := _NAMED.match(text)):
            self._name(stream, line.number, match["name"], match["message"] or "")
        elif text[:1] != " ":
            return self._lose(stream)
        return True

    def _text(self, stream: _Stream, line: Line, text: str) -> bool:
        """Add a line to an exception's message; after a blank line only a linked exception continues the chain."""
        raised = stream.raised
        assert raised is not None
        if stream.after_blank or stream.linked or _ALONE.match(text):
            return False
        if raised.message.count("\n") < MESSAGE_LINES:
            raised.message = f"{raised.message}\n{text}" if raised.message else text
        return True

    def _name(self, stream: _Stream, number: int, name: str, message: str) -> None:
        raised = stream.raised
        assert raised is not None
        raised.line, raised.name, raised.message = number, name, message
        stream.in_text, stream.after_blank = True, False
        remote = _REMOTE.search(message)
        raised.wraps = bool(remote or WRAPPERS.search(name) or CARRIES.match(message))
        if remote:
            self._new(stream, remote["who"])  # the task's traceback follows

    def _new(self, stream: _Stream, remote: str = "") -> None:
        assert stream.chain is not None
        stream.raised = Raised(remote=remote)
        stream.chain.members.append(stream.raised)
        stream.in_text = stream.linked = stream.after_blank = False

    def _lose(self, stream: _Stream) -> bool:
        stream.lost += 1
        return stream.lost < LOST_LINES

    def _close(self, stream: _Stream) -> Iterator[Chain]:
        chain, stream.chain, stream.raised = stream.chain, None, None
        if chain is not None:
            chain.members = [member for member in chain.members if member.name]
            if chain.members:
                yield chain
