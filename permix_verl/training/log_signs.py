"""What a run's log says of it while it grows: where the run stands, what a process raised, which part is gone.

A line is read once, in order. What counts are whole tracebacks and a few sentences of Ray's and vLLM's; lines that
merely name an exception, as verl's warnings about engines that are not installed do, are none.
"""

import re
from dataclasses import dataclass
from pathlib import Path

OURS = "permix_verl: "
"""Begins what ``permix_verl.training.hooks.ray_watch`` says."""
WAITS = "placement waits: "
GOES_ON = "placement goes on"
ELSEWHERE = "on other machines, whose work is not seen from here"

_ESCAPES = re.compile(r"\x1b\[[0-9;]*m")
_SPEAKER = re.compile(
    r"\((?P<name>raylet|[\w.:-]+ (?=pid=)|(?=pid=))(?:pid=(?P<pid>\d+))?(?:, ip=[\w.:]+)?\) ?|\[(?P<rank>rank\d+)\]: ?"
)
"""Who says a line: Ray's prefix, one of vLLM's processes within it, or torchrun's."""
_HEADER = re.compile(
    r"(?:ERROR|CRITICAL|WARNING|INFO)(?: \d\d-\d\d \d\d:\d\d:\d\d \[[^\]]+\] ?|:\d{4}-\d\d-\d\d [\d:,]+:)"
)
_RAISED = re.compile(r"(?P<name>[A-Za-z_][\w.]*)(?:\((?P<inner>\w+)\))?(?:: ?(?P<message>.*))?$")
_BETWEEN = ("During handling of the above", "The above exception was")
_STOPPED = re.compile(r"KeyboardInterrupt|SystemExit|SignalException|CancelledError|GeneratorExit")
"""What a process raises that was told to end."""

_DIED = re.compile(
    "Worker proc \\S+ died unexpectedly|[Ee]ngine core (?:proc \\S+ )?(?:exited|died) unexpectedly"
    "|A worker died or was killed|due to the node running low on memory|oom-kill|Out of memory: Killed"
    "|exitcode\\s*: -\\d+|^permix_verl: actor .* is gone: The actor is dead"
)
"""That a process has ended, and could not say why."""
_GONE = re.compile(
    _DIED.pattern + "|Engine core initialization failed|EngineCore (?:failed to start|encountered a fatal error)"
    "|WorkerProc failed to start|The actor (?:died|is dead)"
    "|\\b(?:ActorDied|NodeDied|EngineDead)Error|^permix_verl: actor .* is gone"
)
"""That a part is gone."""
_FAILED = re.compile("WorkerProc hit an exception|Invocation of \\w+ method failed")
"""That vLLM has not done what it was asked. While a run starts verl waits for that; later it may only have been asked
how it is, which may fail."""

STAGES: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), stage)
    for pattern, stage in (
        (r"^ray init kwargs", "starting Ray"),
        (r"Started a local Ray instance|Connected to Ray cluster", "placing verl's trainer"),
        (r"^\(TaskRunner\w* pid=\d+", "starting verl's trainer and its transfer queue"),
        (r"Using dataset class", "reading the data"),
        (r"worker group kwargs", "placing the training workers"),
        (r"create worker group|Before FSDP, memory allocated", "loading the training engine"),
        (r"reward loop manager initialized", "starting the rollout engines"),
        (r"checkpoint engine manager initialized", "loading the checkpoint, if there is one"),
        (r"all initialize finished, ready to fit", "the first weight sync, agent loops and reward workers"),
        (r"Training Progress:|step:\d+ - |^Epoch \d+/\d+:", "training"),
        (r"Saving checkpoint to", "saving a checkpoint"),
    )
)
"""verl's own words -> what it does from there on, in the order in which a launch comes to it."""
_STARTED = 9
"""Number of the first stage of a run that has started; from there on they alternate."""


@dataclass(frozen=True, slots=True)
class Sign:
    """That something has gone wrong.

    Attributes:
        speaker: the process, in Ray's or vLLM's words; empty for verl's own.
        text: the exception, or the line.
        gone: whether a part is gone by it; else a traceback, which may be harmless.
        raised: whether ``text`` is an exception.
        died: whether it is a process that could not say why.
    """

    speaker: str
    text: str
    gone: bool
    raised: bool = False
    died: bool = False

    def sentence(self) -> str:
        return f"{self.speaker}: {self.text}" if self.speaker else self.text


class LogSigns:
    """Reads a log line by line.

    Attributes:
        stage: what the run does now; empty before verl has said anything.
        stages: how often it has come to another one.
        short_of: what waits for a place, as the run's Ray watch says it; else empty.
        elsewhere: whether some of its nodes are on other machines.
    """

    def __init__(self) -> None:
        self.stage = ""
        self.stages = 0
        self.short_of = ""
        self.elsewhere = False
        self._open: set[str] = set()  # prefixes of those in the middle of a traceback
        self._number = -1  # of the stage

    def read(self, line: str) -> Sign | None:
        """The sign in one line, given after those before it."""
        line = plain(line)
        if line.startswith(OURS):
            self._look_at_places(line.removeprefix(OURS))
        self._look_at_stage(line)
        prefix, speaker, text = _split(line)
        if "Traceback (most recent call last):" in text:
            self._open.add(prefix)
            return None
        if prefix in self._open:
            return self._within(prefix, speaker, text)
        if _GONE.search(text) or (_FAILED.search(text) and not self.training):
            return Sign(speaker, text.strip().removeprefix(OURS), gone=True, died=bool(_DIED.search(text)))
        return None

    def _within(self, prefix: str, speaker: str, text: str) -> Sign | None:
        if not text.strip() or text[0] in " \t|+" or text.startswith(_BETWEEN):
            return None
        found = _RAISED.fullmatch(text)
        if found is None:
            return None
        if found["name"].endswith("RayTaskError"):  # the same again, of another process: its own line comes below
            return None
        self._open.discard(prefix)
        if _STOPPED.search(found["name"]):
            return None
        name = found["name"].rpartition(".")[2]
        message = (found["message"] or "").strip()
        return Sign(speaker, f"{name}: {message}" if message else name, gone=bool(_GONE.search(text)), raised=True)

    @property
    def training(self) -> bool:
        """Whether it has come that far."""
        return self._number >= _STARTED

    def _look_at_places(self, line: str) -> None:
        if line.startswith(WAITS):
            self.short_of = line.removeprefix(WAITS)
        elif line == GOES_ON:
            self.short_of = ""
        elif line.endswith(ELSEWHERE):
            self.elsewhere = not line.startswith("0 ")

    def _look_at_stage(self, line: str) -> None:
        for number, (pattern, stage) in enumerate(STAGES):
            onward = number > self._number or (number >= _STARTED <= self._number and number != self._number)
            if onward and pattern.search(line):
                self._number, self.stage = number, stage
                self.stages += 1


def plain(line: str) -> str:
    """Without its end and the colours of a terminal."""
    return _ESCAPES.sub("", line.rstrip("\r\n"))


def _split(line: str) -> tuple[str, str, str]:
    """Prefix, the innermost process that it names, and the rest of a line."""
    end, speaker = 0, ""
    while found := _SPEAKER.match(line, end):
        end = found.end()
        name = (found["name"] or "").strip()
        speaker = found["rank"] or (f"{name} (pid {found['pid']})" if name and found["pid"] else name or speaker)
    header = _HEADER.match(line, end)
    return line[:end], speaker, line[header.end() if header else end :]


class LogTail:
    """The lines that a file has got since the last look; a line counts when it is whole."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.size = 0
        self._rest = b""

    def read(self) -> list[str]:
        if not self.file.is_file():
            return []
        with self.file.open("rb") as log:
            log.seek(self.size)
            new = log.read()
        self.size += len(new)
        *lines, self._rest = (self._rest + new).split(b"\n")
        return [line.decode(errors="replace") for line in lines]
