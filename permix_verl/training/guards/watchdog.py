"""Abort a run if one of its parts has died or nothing progresses, and name that part.

verl waits for rollouts without a timeout: if a server or a reward worker has died, it hangs, or silently continues
with a smaller batch. From the first rollout on the watchdog probes every part every few seconds, from a thread of
the trainer's process; before that the launcher watches (``permix_verl.training.launch_watch``). It does not depend
on Ray: a part is a name and a probe.
"""

import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Collection, Hashable, Mapping
from pathlib import Path
from typing import Any, Protocol

from permix_verl.errors import first_line
from permix_verl.utils.files import write_atomic

STALL_S = 40.0
"""Seconds without progress after which a wait has failed."""
WARM_UP_S = 180.0
"""Limit until the first rollout of a launch is finished: engines compile and verifiers start for it."""
INTERVAL_S = 3.0
"""Seconds between probes."""
CONFIRM_S = 1.0
"""Seconds between a fault and its confirmation."""
UNDECIDED_S = 60.0
"""Seconds for which an unreachable part is probed again; Ray gives up a node after 15 to 20."""
CAUSE_FILE = "cause.txt"
"""File in the run folder: why the watchdog ended the run."""


class UnreachableError(Exception):
    """A part cannot be reached: it has died, or the network is down for a moment."""


class PendingReply(Protocol):
    """A probe's reply that has not arrived yet."""

    def wait(self, timeout_s: float) -> tuple[bool, Any]:
        """Return whether a reply arrived in time, and the reply.

        Raises:
            UnreachableError: the part may or may not be alive.
            Exception: the part has died; its cause of death.
        """


Probe = Callable[[], PendingReply]


class Watchdog:
    """Monitor of the parts of a run.

    A dead part ends the run. A part that does not reply may be busy: it counts only if nothing else progresses.

    Args:
        parts: name -> probe; a name is the subject of a sentence.
        run_dir: run folder; the cause is written there.
        stall_s: see :data:`STALL_S`.
        interval_s: see :data:`INTERVAL_S`.
        warm_up_s: see :data:`WARM_UP_S`.
        only_while_waiting: parts whose death matters only during a wait.
        end: ends the process; it must not return.
    """

    def __init__(
        self,
        parts: Mapping[str, Probe],
        run_dir: Path | None,
        stall_s: float = STALL_S,
        interval_s: float = INTERVAL_S,
        warm_up_s: float = WARM_UP_S,
        only_while_waiting: Collection[str] = (),
        end: Callable[[], None] = lambda: os._exit(1),
    ) -> None:
        self.parts = parts
        self.run_dir = run_dir
        self.stall_s = stall_s
        self.interval_s = interval_s
        self.warm_up_s = warm_up_s
        self.only_while_waiting = only_while_waiting
        self.end = end
        self._pending: dict[str, PendingReply] = {}
        self._readings: dict[str, Hashable] = {}
        self._waiting_for: str | None = None
        self._queue: Hashable = None
        self._warm = False
        self._last_progress = time.monotonic()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start monitoring, in a daemon thread."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._watch, name="permix-watchdog", daemon=True)
            self._thread.start()

    def set_waiting(self, subject: str | None, queue: Hashable = None, finished: int = 0) -> None:
        """Set what the trainer is waiting for.

        Args:
            subject: in words; ``None`` if it does not wait.
            queue: any value that changes when the queue moves.
            finished: rollouts in the queue.
        """
        with self._lock:
            if subject != self._waiting_for or queue != self._queue:
                self._last_progress = time.monotonic()
            self._waiting_for, self._queue = subject, queue
            self._warm = self._warm or finished > 0

    def check(self) -> str | None:
        """Probe every part once; return the problem, or ``None``."""
        silent = []
        for name, probe in self.parts.items():
            try:
                if not self._replies(name, probe):
                    silent.append(name)
            except UnreachableError:
                silent.append(name)
            except Exception as error:
                if self._waiting_for is not None or name not in self.only_while_waiting:
                    return _death_message(name, error)
        with self._lock:
            stalled_s = time.monotonic() - self._last_progress
            limit = self.stall_s if self._warm else max(self.stall_s, self.warm_up_s)
            if self._waiting_for is None or stalled_s <= limit:
                return None
            details = [
                f"{name}: {reading}" for name, reading in self._readings.items() if isinstance(reading, str) and reading
            ]
            details += [f"{name} does not answer" for name in silent]
            return f"no progress for {stalled_s:.0f} s while waiting for {self._waiting_for}" + (
                f" ({'; '.join(details)})" if details else ""
            )

    def diagnose(self, patience_s: float = 10.0, undecided_s: float = UNDECIDED_S) -> list[str]:
        """Probe every part now; return the problems.

        Args:
            patience_s: seconds to wait for a reply.
            undecided_s: seconds for which an unreachable part is probed again.
        """
        began = time.monotonic()
        replies = {name: _send(probe) for name, probe in self.parts.items()}
        problems = []
        for name, reply in replies.items():
            left_s = max(began + patience_s - time.monotonic(), 0.1)
            problem, undecided = _problem(name, reply, left_s)
            while undecided and time.monotonic() - began < undecided_s:
                time.sleep(min(CONFIRM_S, undecided_s / 10))
                problem, undecided = _problem(name, _send(self.parts[name]), patience_s)
            if problem:
                problems.append(problem)
        return problems

    def report(self, cause: str) -> None:
        """Print the cause, and write it where the launcher reads it."""
        print(f"permix_verl: {cause}", file=sys.stderr, flush=True)
        if self.run_dir is not None:
            write_cause(self.run_dir, cause)

    def _watch(self) -> None:
        complained, suspicion = False, None
        while True:
            slept = time.monotonic()
            time.sleep(min(CONFIRM_S, self.interval_s) if suspicion else self.interval_s)
            if time.monotonic() - slept > self.interval_s + self.stall_s / 2:  # the machine was suspended
                with self._lock:
                    self._last_progress = time.monotonic()
            try:
                problem = self.check()
            except Exception:  # a fault of the watchdog must not end the run
                if not complained:
                    traceback.print_exc()
                complained = True
                continue
            # Confirmed once: when a run ends, its parts die a moment before this process.
            if problem and suspicion:
                try:
                    self.report(problem)
                finally:
                    self.end()
                return
            suspicion = problem

    def _replies(self, name: str, probe: Probe) -> bool:
        """Return whether a part has replied; raise its cause of death."""
        if name not in self._pending:
            self._pending[name] = probe()
        try:
            replied, reading = self._pending[name].wait(0.05)
        except Exception:
            del self._pending[name]
            raise
        if replied:
            del self._pending[name]
            with self._lock:
                if reading != self._readings.get(name):
                    self._last_progress = time.monotonic()
                self._readings[name] = reading
        return replied


def write_cause(run_dir: Path, cause: str) -> None:
    """Write why a run was ended, unless a cause is written already: later ones are consequences."""
    if not (run_dir / CAUSE_FILE).exists():
        write_atomic(run_dir / CAUSE_FILE, cause)


class _FailedProbe:
    """Reply of a part whose probe could not be sent."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def wait(self, timeout_s: float) -> tuple[bool, Any]:
        raise self.error


def _send(probe: Probe) -> PendingReply:
    try:
        return probe()
    except Exception as error:
        return _FailedProbe(error)


def _problem(name: str, reply: PendingReply, patience_s: float) -> tuple[str | None, bool]:
    """Return a part's problem, and whether it may resolve by itself."""
    try:
        replied, _ = reply.wait(patience_s)
    except UnreachableError as error:
        return f"{name} cannot be reached ({first_line(error)[:300]})", True
    except Exception as error:
        return _death_message(name, error), False
    return (None if replied else f"{name} has not answered for {patience_s:.0f} s"), False


def _death_message(name: str, error: Exception) -> str:
    return f"{name} is gone ({type(error).__name__}: {first_line(error)[:300]})"
