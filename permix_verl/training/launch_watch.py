"""Ends a launch that has failed, or stands still, without an end of its own; and says by what.

verl waits without a limit for whatever has died while it starts, loads, places or syncs. The launcher looks from
outside, once a second and from the first moment on, at the run's log and at what its processes do. What is slow works:
it is left alone.

- A part is gone (``permix_verl.training.log_signs``): the run has :data:`GRACE_S` to end by itself.
- A process has raised: that may be harmless, so it counts only when nothing has moved for :data:`QUIET_S` soon after.
- Nothing moves at all: for :data:`STILL_S`, or ``STALL_SECONDS`` if that is more.
- Something waits for a place that the cluster cannot give (``hooks/ray_watch.py``): :data:`NO_PLACE_S`.
"""

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from permix_verl.training.hooks.ray_watch import NEVER
from permix_verl.training.log_signs import LogSigns, LogTail, Sign, plain
from permix_verl.training.process_activity import ProcessActivity

GRACE_S = 25.0
"""Seconds that a run has to end by itself, once a part is gone."""
BUSY_GRACE_S = 40.0
"""The same while its processes still work, and they may for ever where one waits for another in a loop; and from the
first step on, when the watchdog in verl's own process knows more."""
QUIET_S = 30.0
SETTLED_S = 120.0
"""Of work after an exception, by which the run has got over it; so it has by two more steps."""
STILL_S = 180.0
NO_PLACE_S = 45.0
OTHERS_S = 600.0
"""The same where others hold what is missing, who may give it back."""
UNSEEN_S = 1800.0
"""Seconds without a line in the log, where processes on other machines may work unseen."""
FROZEN_S = 20.0
"""Between two looks: the machine was asleep, or the terminal held the launcher, and not the run."""


class LaunchWatch:
    """Watches one launch.

    Args:
        log: of the run.
        metrics: folder whose files grow with every step.
        activity: of the run's processes.
        stall_s: ``STALL_SECONDS``; longer bounds than these are kept.
        remedy: what to do about places that are not there.
        explain: names the cause in a log, with its remedy, where it knows it.

    Attributes:
        signs: what the log says.
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
        self._found: list[_Found] = []
        self._shapes: set[str] = set()
        self._last_line = ""
        self._looked = self._moved = self._onward = clock()
        self._no_place_since: float | None = None
        self._stages = self._logged = self._steps = 0

    def look(self) -> str | None:
        """Why the run should be ended, or ``None``."""
        now = self.clock()
        if now - self._looked > FROZEN_S:
            self._moved = self._onward = now
            self._no_place_since = None
            self._found = [replace(found, when=now) for found in self._found]
        self._looked = now
        self._read(now)
        working = self.activity.look()
        if working:
            self._moved = now
        return self._no_place(now) or self._failed(now, working) or self._still(now)

    def _read(self, now: float) -> None:
        for line in self.tail.read():
            sign = self.signs.read(line)
            if sign:
                self._found.append(_Found(sign, now, self._steps))
            shape = re.sub(r"\d+", "#", line)[:200]  # what is repeated with another number is no progress
            if shape.strip() and shape not in self._shapes:
                self._shapes.add(shape)
                self._moved = now
            self._last_line = plain(line).strip() or self._last_line
            if self.signs.elsewhere:
                self._moved = now
        logged = sum(file.stat().st_size for file in self.metrics.glob("*.jsonl"))
        if logged != self._logged:
            self._logged, self._moved, self._onward = logged, now, now
            self._steps += 1
            self._found = [found for found in self._found if self._steps - found.steps < 2]
        if self.signs.stages != self._stages:
            self._stages, self._moved, self._onward = self.signs.stages, now, now

    def _no_place(self, now: float) -> str | None:
        short = self.signs.short_of
        if not short:
            self._no_place_since = None
            return None
        if self._no_place_since is None:
            self._no_place_since = now
        bound = max(NO_PLACE_S if NEVER in short else OTHERS_S, self.stall_s)
        if now - self._no_place_since < bound:
            return None
        return f"placement stands still: {short}{f'; {self.remedy}' if self.remedy else ''}"

    def _failed(self, now: float, working: bool) -> str | None:
        gone = [found for found in self._found if found.sign.gone]
        raised = [found for found in self._found if self._moved - found.when < SETTLED_S]
        if gone:
            grace = BUSY_GRACE_S if working or self.signs.training else GRACE_S
            over = now - max(gone[0].when, self._onward) >= grace
        else:
            over = bool(raised) and now - max(raised[0].when, self._moved) >= QUIET_S
        if not over:
            return None
        counts = self._found if gone else raised
        cause = _cause([found.sign for found in counts])
        if not counts[0].sign.died:  # what others raise then is that it is not there
            cause = self.explain(self.tail.file) or cause
        return f"{cause} (while {self.stage}; verl has waited {now - counts[0].when:.0f} s since)"

    def _still(self, now: float) -> str | None:
        still = now - self._moved
        if still < max(UNSEEN_S if self.signs.elsewhere else STILL_S, self.stall_s):
            return None
        seen = "no new line in the log" if self.signs.elsewhere else "no new line in the log, and no process works"
        odd = "".join(f"; {words}" for words in self.activity.odd()[:3])
        before = f"; raised before: {_cause([found.sign for found in self._found])[:200]}" if self._found else ""
        last = f"; the log's last line: {self._last_line[:200]}" if self._last_line else ""
        return f"nothing has moved for {still:.0f} s while {self.stage} ({seen}{odd}{before}{last})"

    @property
    def stage(self) -> str:
        """What the run does, in words that follow "while"."""
        return self.signs.stage or "starting"


@dataclass(frozen=True, slots=True)
class _Found:
    """A sign, when it was read, and the steps that were done by then."""

    sign: Sign
    when: float
    steps: int


def _cause(signs: Sequence[Sign]) -> str:
    """The process that died, if that came first; else what was raised first, and by the same process on top of it."""
    if signs[0].died:
        named = [sign for sign in signs if sign.died and sign.text.startswith("actor ")]
        return (named or signs)[0].sentence()[:400]
    raised = [sign for sign in signs if sign.raised]
    first = raised[0] if raised else signs[0]
    chain = dict.fromkeys(sign.text for sign in raised if sign.speaker == first.speaker)
    return first.sentence() + "".join(f"; then {text}" for text in list(chain)[1:2])
