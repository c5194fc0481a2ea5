"""Watchdog of the launcher: detect a launch that has failed or hangs but does not end by itself, and name the cause.

verl waits without a timeout for components that have died during start-up, loading, placement or weight sync. Once a
second the launcher reads the run's log and the activity of its processes. A slow launch still works and goes on.

- A component is lost (``permix_verl.training.log_signs``): the run has :data:`GRACE_S` to end by itself.
- A process has raised an exception, which may be harmless: it counts if :data:`QUIET_S` without progress follow.
- No progress at all for :data:`STILL_S`, or for ``STALL_SECONDS`` if that is more.
- A placement that the cluster can never satisfy (``hooks/ray_watch.py``) has waited for :data:`UNPLACEABLE_S`.
"""

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from permix_verl.training.hooks.ray_watch import UNAVAILABLE
from permix_verl.training.log_signs import LogSign, LogSigns, LogTail, strip_colors
from permix_verl.training.process_activity import ProcessActivity

GRACE_S = 25.0
"""Time for a run to end by itself after it has lost a component."""
BUSY_GRACE_S = 40.0
"""Grace period while processes still work (they may poll each other for ever), and from the first step on (the watchdog
in verl's process knows more)."""
QUIET_S = 30.0
"""Time without progress after which an exception counts as fatal."""
SETTLED_S = 120.0
"""Time of progress after an exception that shows it to be harmless; two more training steps show it too."""
STILL_S = 180.0
"""Time without any progress."""
UNPLACEABLE_S = 45.0
"""Time that a placement waits for resources that the cluster does not have."""
OCCUPIED_S = 600.0
"""Time that a placement waits for resources that others hold and may release."""
REMOTE_STILL_S = 1800.0
"""Time without a log line if processes on other machines, whose work is not seen, may be working."""
FROZEN_S = 20.0
"""Gap between two checks after which the clocks restart: the machine slept, or the launcher was suspended."""


class LaunchWatch:
    """Watchdog of one launch.

    Args:
        log: log file of the run.
        metrics: folder whose files grow with every step.
        activity: activity of the run's processes.
        stall_s: ``STALL_SECONDS``, a lower bound of the limits on placement and progress.
        remedy: advice if placement fails.
        explain: returns the known cause in a log, with its remedy, or ``None``.

    Attributes:
        signs: state of the run, read from its log.
    """

    def __init__(
        self,
        log: Path,
        metrics: Path,
        activity: ProcessActivity,
        stall_s: float,
        remedy: str = "",
        explain: Callable[[Path], str | None] = lambda log: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.tail = LogTail(log)
        self.metrics = metrics
        self.activity = activity
        self.stall_s = stall_s
        self.remedy = remedy
        self.explain = explain
        self.clock = clock
        self.signs = LogSigns()
        self._signs: list[_DatedSign] = []
        self._line_shapes: set[str] = set()
        self._last_line = ""
        self._checked_at = self._progress_at = self._stage_progress_at = clock()
        self._waiting_since: float | None = None
        self._stage_changes = self._metrics_bytes = self._steps = 0

    def check(self) -> str | None:
        """Return the reason to end the run, or ``None``."""
        now = self.clock()
        if now - self._checked_at > FROZEN_S:
            self._progress_at = self._stage_progress_at = now
            self._waiting_since = None
            self._signs = [replace(dated, when=now) for dated in self._signs]
        self._checked_at = now
        self._read_files(now)
        working = self.activity.is_working()
        if working:
            self._progress_at = now
        return self._check_placement(now) or self._check_failure(now, working) or self._check_progress(now)

    def _read_files(self, now: float) -> None:
        for line in self.tail.read():
            sign = self.signs.read(line)
            if sign:
                self._signs.append(_DatedSign(sign, now, self._steps))
            shape = re.sub(r"\d+", "#", line)[:200]  # a repeated line with another number is no progress
            if shape.strip() and shape not in self._line_shapes:
                self._line_shapes.add(shape)
                self._progress_at = now
            self._last_line = strip_colors(line).strip() or self._last_line
            if self.signs.has_remote_nodes:
                self._progress_at = now
        metrics_bytes = sum(file.stat().st_size for file in self.metrics.glob("*.jsonl"))
        if metrics_bytes != self._metrics_bytes:
            self._metrics_bytes, self._progress_at, self._stage_progress_at = metrics_bytes, now, now
            self._steps += 1
            self._signs = [dated for dated in self._signs if self._steps - dated.steps < 2]
        if self.signs.stage_changes != self._stage_changes:
            self._stage_changes, self._progress_at, self._stage_progress_at = self.signs.stage_changes, now, now

    def _check_placement(self, now: float) -> str | None:
        waiting_for = self.signs.waiting_for
        if not waiting_for:
            self._waiting_since = None
            return None
        if self._waiting_since is None:
            self._waiting_since = now
        limit_s = max(UNPLACEABLE_S if UNAVAILABLE in waiting_for else OCCUPIED_S, self.stall_s)
        if now - self._waiting_since < limit_s:
            return None
        return f"placement is stuck: {waiting_for}{f'; {self.remedy}' if self.remedy else ''}"

    def _check_failure(self, now: float, working: bool) -> str | None:
        losses = [dated for dated in self._signs if dated.sign.component_lost]
        recent = [dated for dated in self._signs if self._progress_at - dated.when < SETTLED_S]
        if losses:
            grace = BUSY_GRACE_S if working or self.signs.training else GRACE_S
            fatal = now - max(losses[0].when, self._stage_progress_at) >= grace
        else:
            fatal = bool(recent) and now - max(recent[0].when, self._progress_at) >= QUIET_S
        if not fatal:
            return None
        evidence = self._signs if losses else recent
        cause = _describe_cause([dated.sign for dated in evidence])
        if not evidence[0].sign.died_silently:  # otherwise the exceptions in the log only report the death
            cause = self.explain(self.tail.file) or cause
        return f"{cause} (while {self.stage}; verl has waited {now - evidence[0].when:.0f} s since)"

    def _check_progress(self, now: float) -> str | None:
        still_s = now - self._progress_at
        if still_s < max(REMOTE_STILL_S if self.signs.has_remote_nodes else STILL_S, self.stall_s):
            return None
        remote = self.signs.has_remote_nodes
        evidence = "no new line in the log" if remote else "no new line in the log, and no process works"
        blocked = "".join(f"; {process}" for process in self.activity.describe_blocked()[:3])
        signs = [dated.sign for dated in self._signs]
        before = f"; raised before: {_describe_cause(signs)[:200]}" if signs else ""
        last = f"; the log's last line: {self._last_line[:200]}" if self._last_line else ""
        return f"no progress for {still_s:.0f} s while {self.stage} ({evidence}{blocked}{before}{last})"

    @property
    def stage(self) -> str:
        """Current stage of the run, in words that follow "while"."""
        return self.signs.stage or "starting"


@dataclass(frozen=True, slots=True)
class _DatedSign:
    """A sign of failure, the time it was read, and the number of steps finished by then."""

    sign: LogSign
    when: float
    steps: int


def _describe_cause(signs: Sequence[LogSign]) -> str:
    """Describe the process that died, if that came first; else the first exception and its process's next one."""
    if signs[0].died_silently:
        actors = [sign for sign in signs if sign.died_silently and sign.text.startswith("actor ")]
        return (actors or signs)[0].sentence()[:400]
    exceptions = [sign for sign in signs if sign.is_exception]
    first = exceptions[0] if exceptions else signs[0]
    chain = dict.fromkeys(sign.text for sign in exceptions if sign.process == first.process)
    return first.sentence() + "".join(f"; then {text}" for text in list(chain)[1:2])
