"""Incremental reader of a run's log: the current stage, exceptions raised, and components lost.

Each line is read once, in order. Only complete tracebacks and a few messages of Ray and vLLM count as failures; a line
that merely names an exception, such as verl's warnings about engines that are not installed, does not.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from permix_verl.explain.lines import parse_line

RAY_WATCH_PREFIX = "permix_verl: "
"""Prefix of the lines that ``permix_verl.training.hooks.ray_watch`` prints."""
PLACEMENT_WAITS = "placement waits: "
PLACEMENT_RESUMED = "placement goes on"
REMOTE_NODES = "on other machines, whose work is not seen from here"

_ESCAPES = re.compile(r"\x1b\[[0-9;]*m")
_PROCESS = re.compile(r"(?P<name>.*?) ?pid=(?P<pid>\w+)(?:, ip=.*)?")
_RAISED = re.compile(r"(?P<name>[A-Za-z_][\w.]*)(?:\((?P<inner>\w+)\))?(?:: ?(?P<message>.*))?$")
_BETWEEN = ("During handling of the above", "The above exception was")
_REQUESTED_STOP = re.compile(r"KeyboardInterrupt|SystemExit|SignalException|CancelledError|GeneratorExit")
"""Exceptions of a process that was told to end."""

_DIED = re.compile(
    "Worker proc \\S+ died unexpectedly|[Ee]ngine core (?:proc \\S+ )?(?:exited|died) unexpectedly"
    "|A worker died or was killed|due to the node running low on memory|oom-kill|Out of memory: Killed"
    "|exitcode\\s*: -\\d+|^permix_verl: actor .* is gone: The actor is dead"
)
"""Messages about a process that died without an exception."""
_LOST = re.compile(
    _DIED.pattern + "|Engine core initialization failed|EngineCore (?:failed to start|encountered a fatal error)"
    "|WorkerProc failed to start|The actor (?:died|is dead)"
    "|\\b(?:ActorDied|NodeDied|EngineDead)Error|^permix_verl: actor .* is gone"
)
"""Messages about a lost component."""
_FAILED = re.compile("WorkerProc hit an exception|Invocation of \\w+ method failed")
"""Messages about a failed vLLM call. They are fatal only during start-up, where verl waits for the call: later the call
may be a status query, whose failure is harmless."""

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
"""Patterns of verl's log lines -> the stage that each begins, in the order of a launch."""
_FIRST_TRAINING_STAGE = 9
"""Index of the first stage after start-up; from there on the stages alternate."""


@dataclass(frozen=True, slots=True)
class LogSign:
    """A sign of failure in a log.

    Attributes:
        process: the process as Ray or vLLM names it; empty for verl's main process.
        text: the exception, or the line.
        component_lost: whether a component is lost; if not, it is a traceback, which may be harmless.
        is_exception: whether ``text`` is an exception.
        died_silently: whether a process died without an exception.
    """

    process: str
    text: str
    component_lost: bool
    is_exception: bool = False
    died_silently: bool = False

    def sentence(self) -> str:
        return f"{self.process}: {self.text}" if self.process else self.text


class LogSigns:
    """State of a run, read from its log line by line.

    Attributes:
        stage: the current stage; empty before verl's first line.
        stage_changes: number of stage changes so far.
        waiting_for: resources that wait for placement, in the words of the run's Ray watch; empty if none.
        has_remote_nodes: whether some nodes are on other machines.
    """

    def __init__(self) -> None:
        self.stage = ""
        self.stage_changes = 0
        self.waiting_for = ""
        self.has_remote_nodes = False
        self._open: set[str] = set()  # prefixes of the processes in the middle of a traceback
        self._stage_index = -1

    def read(self, line: str) -> LogSign | None:
        """Return the sign of failure in the next line, if it completes one."""
        line = strip_colors(line)
        if line.startswith(RAY_WATCH_PREFIX):
            self._read_placement(line.removeprefix(RAY_WATCH_PREFIX))
        self._read_stage(line)
        prefix, process, text = _split_prefix(line)
        if "Traceback (most recent call last):" in text:
            self._open.add(prefix)
            return None
        if prefix in self._open:
            return self._read_traceback(prefix, process, text)
        if _LOST.search(text) or (_FAILED.search(text) and not self.training):
            line = text.strip().removeprefix(RAY_WATCH_PREFIX)
            return LogSign(process, line, component_lost=True, died_silently=bool(_DIED.search(text)))
        return None

    def _read_traceback(self, prefix: str, process: str, text: str) -> LogSign | None:
        if not text.strip() or text[0] in " \t|+" or text.startswith(_BETWEEN):
            return None
        exception = _RAISED.fullmatch(text)
        if exception is None:
            return None
        if exception["name"].endswith("RayTaskError"):  # a wrapper: the original exception follows below
            return None
        self._open.discard(prefix)
        if _REQUESTED_STOP.search(exception["name"]):
            return None
        name = exception["name"].rpartition(".")[2]
        message = (exception["message"] or "").strip()
        sentence = f"{name}: {message}" if message else name
        return LogSign(process, sentence, component_lost=bool(_LOST.search(text)), is_exception=True)

    @property
    def training(self) -> bool:
        """True once the first training step has begun."""
        return self._stage_index >= _FIRST_TRAINING_STAGE

    def _read_placement(self, line: str) -> None:
        if line.startswith(PLACEMENT_WAITS):
            self.waiting_for = line.removeprefix(PLACEMENT_WAITS)
        elif line == PLACEMENT_RESUMED:
            self.waiting_for = ""
        elif line.endswith(REMOTE_NODES):
            self.has_remote_nodes = not line.startswith("0 ")

    def _read_stage(self, line: str) -> None:
        for number, (pattern, stage) in enumerate(STAGES):
            onward = number > self._stage_index or (
                number >= _FIRST_TRAINING_STAGE <= self._stage_index and number != self._stage_index
            )
            if onward and pattern.search(line):
                self._stage_index, self.stage = number, stage
                self.stage_changes += 1


def strip_colors(line: str) -> str:
    """Return a line without its newline and terminal colours."""
    return _ESCAPES.sub("", line.rstrip("\r\n"))


def _split_prefix(line: str) -> tuple[str, str, str]:
    """Return the processes that a line's prefix names, the innermost of them with a name, and the text."""
    parsed = parse_line(0, line)
    process = ""
    for part in parsed.process.split(" > "):
        match = _PROCESS.fullmatch(part)
        name = match["name"] if match else part
        process = f"{name} (pid {match['pid']})" if match and name else name or process
    return parsed.process, process, parsed.text


class LogTail:
    """Complete lines appended to a file since the last read."""

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
