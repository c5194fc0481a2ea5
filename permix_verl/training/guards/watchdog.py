"""Ends a run whose parts have died or stand still, and says which one.

verl waits for rollouts without a limit: where a server or a reward worker is gone it
hangs, or goes on with a smaller batch and says nothing. The watchdog asks every part
how it is, every few seconds, from a thread of the trainer's process, from the first
rollout on; before that the launcher watches (``permix_verl.training.launch_watch``).
It knows no Ray: a part is a name and a way to ask it.
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

STALL_S = 40.0
"""Seconds without any progress after which a wait has failed."""
WARM_UP_S = 180.0
"""The same, until the first rollout of a launch is finished: engines compile and verifiers start for the first one."""
INTERVAL_S = 3.0
CONFIRM_S = 1.0
"""Seconds between seeing a fault and looking again."""
UNDECIDED_S = 60.0
"""Seconds within which a part that cannot be reached turns out to be gone; Ray gives up a node after 15 to 20."""
CAUSE_FILE = "cause.txt"
"""In the run's folder: why the watchdog ended it."""


class UnreachableError(Exception):
    """A part cannot be reached: it may be gone, or the network for a moment."""


class Question(Protocol):
    """A question on its way."""

    def answer(self, timeout_s: float) -> tuple[bool, Any]:
        """Whether there is an answer within the time, and the answer.

        Raises:
            UnreachableError: nobody knows yet.
            Exception: what the part died of.
        """


Ask = Callable[[], Question]


class Watchdog:
    """Watches the parts of a run.

    A part that says it is dead ends the run. One that does not answer may be busy: it counts only when nothing else
    moves either.

    Args:
        parts: name to a way to ask it; a name reads as the subject of a sentence.
        run_dir: folder of the run; the cause is written there.
        stall_s: see :data:`STALL_S`.
        only_while_waiting: parts that may go while nobody waits for them.
        end: ends the process; it must not return.
    """

    def __init__(
        self,
        parts: Mapping[str, Ask],
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
        self._open: dict[str, Question] = {}
        self._readings: dict[str, Hashable] = {}
        self._waiting_for: str | None = None
        self._queue: Hashable = None
        self._warm = False
        self._last_progress = time.monotonic()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to watch, in a thread that ends with its process."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._watch, name="permix-watchdog", daemon=True)
            self._thread.start()

    def waiting(self, what: str | None, queue: Hashable = None, finished: int = 0) -> None:
        """Say what the trainer is waiting for.

        Args:
            what: in words; ``None`` when it waits no more.
            queue: any value that changes when the queue moves.
            finished: rollouts that are in the queue.
        """
        with self._lock:
            if what != self._waiting_for or queue != self._queue:
                self._last_progress = time.monotonic()
            self._waiting_for, self._queue = what, queue
            self._warm = self._warm or finished > 0

    def check(self) -> str | None:
        """One round: what is wrong, or ``None``."""
        silent = []
        for name, ask in self.parts.items():
            try:
                if not self._answers(name, ask):
                    silent.append(name)
            except UnreachableError:
                silent.append(name)
            except Exception as error:
                if self._waiting_for is not None or name not in self.only_while_waiting:
                    return _gone(name, error)
        with self._lock:
            still = time.monotonic() - self._last_progress
            limit = self.stall_s if self._warm else max(self.stall_s, self.warm_up_s)
            if self._waiting_for is None or still <= limit:
                return None
            details = [
                f"{name}: {reading}" for name, reading in self._readings.items() if isinstance(reading, str) and reading
            ]
            details += [f"{name} does not answer" for name in silent]
            return f"no progress for {still:.0f} s while waiting for {self._waiting_for}" + (
                f" ({'; '.join(details)})" if details else ""
            )

    def diagnose(self, patience_s: float = 10.0, undecided_s: float = UNDECIDED_S) -> list[str]:
        """Ask every part now; what is wrong with each.

        Args:
            patience_s: seconds that a part has for its answer.
            undecided_s: seconds for which one that cannot be reached is asked again.
        """
        began = time.monotonic()
        asked = {name: _asked(ask) for name, ask in self.parts.items()}
        problems = []
        for name, question in asked.items():
            left_s = max(began + patience_s - time.monotonic(), 0.1)
            problem, undecided = _problem(name, question, left_s)
            while undecided and time.monotonic() - began < undecided_s:
                time.sleep(min(CONFIRM_S, undecided_s / 10))
                problem, undecided = _problem(name, _asked(self.parts[name]), patience_s)
            if problem:
                problems.append(problem)
        return problems

    def report(self, cause: str) -> None:
        """Leave the cause where the launcher finds it."""
        print(f"permix_verl: {cause}", file=sys.stderr, flush=True)
        if self.run_dir is not None:
            leave_cause(self.run_dir, cause)

    def _watch(self) -> None:
        complained, suspicion = False, None
        while True:
            slept = time.monotonic()
            time.sleep(min(CONFIRM_S, self.interval_s) if suspicion else self.interval_s)
            if time.monotonic() - slept > self.interval_s + self.stall_s / 2:  # the machine was frozen, not the run
                with self._lock:
                    self._last_progress = time.monotonic()
            try:
                problem = self.check()
            except Exception:  # of the watchdog itself: better a run without than none
                if not complained:
                    traceback.print_exc()
                complained = True
                continue
            # Seen twice: when a run ends, its parts go a moment before this process does.
            if problem and suspicion:
                try:
                    self.report(problem)
                finally:
                    self.end()
                return
            suspicion = problem

    def _answers(self, name: str, ask: Ask) -> bool:
        """Whether a part has answered; raises what it died of."""
        if name not in self._open:
            self._open[name] = ask()
        try:
            answered, reading = self._open[name].answer(0.05)
        except Exception:
            del self._open[name]
            raise
        if answered:
            del self._open[name]
            with self._lock:
                if reading != self._readings.get(name):
                    self._last_progress = time.monotonic()
                self._readings[name] = reading
        return answered


def leave_cause(run_dir: Path, cause: str) -> None:
    """Write why a run was ended, unless that is known already: what comes later follows from the first."""
    if not (run_dir / CAUSE_FILE).exists():
        partial = run_dir / (CAUSE_FILE + ".partial")
        partial.write_text(cause)
        os.replace(partial, run_dir / CAUSE_FILE)


class _NotAsked:
    """The answer of a part that cannot even be asked."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def answer(self, timeout_s: float) -> tuple[bool, Any]:
        raise self.error


def _asked(ask: Ask) -> Question:
    try:
        return ask()
    except Exception as error:
        return _NotAsked(error)


def _problem(name: str, question: Question, patience_s: float) -> tuple[str | None, bool]:
    """What is wrong with a part, and whether that may change by itself."""
    try:
        answered, _ = question.answer(patience_s)
    except UnreachableError as error:
        return f"{name} cannot be reached ({first_line(error)[:300]})", True
    except Exception as error:
        return _gone(name, error), False
    return (None if answered else f"{name} has not answered for {patience_s:.0f} s"), False


def _gone(name: str, error: Exception) -> str:
    return f"{name} is gone ({type(error).__name__}: {first_line(error)[:300]})"
