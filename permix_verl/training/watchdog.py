"""Ends a run whose parts have died or stand still, and says which one.

verl waits for rollouts without a limit: where a server or a reward worker is gone it
hangs, or goes on with a smaller batch and says nothing. The watchdog asks every part
how it is, every few seconds, from a thread of the trainer's process. It knows no Ray:
a part is a name and a way to ask it.
"""

import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

STALL_S = 45.0
"""Seconds without any progress, and seconds without an answer, after which a part counts as dead."""
INTERVAL_S = 3.0
CAUSE_FILE = "cause.txt"
"""In the run's folder: why the watchdog ended it."""


class Question(Protocol):
    """A question on its way."""

    def answer(self, timeout_s: float) -> tuple[bool, Any]:
        """Whether there is an answer within the time, and the answer; raises what the part died of."""


Ask = Callable[[], Question]


@dataclass
class _Open:
    question: Question
    since: float


class Watchdog:
    """Watches the parts of a run.

    Args:
        parts: name to a way to ask it; a name reads as the subject of a sentence.
        run_dir: folder of the run; the cause is written there.
        stall_s: see :data:`STALL_S`.
        end: ends the process; it must not return.
    """

    def __init__(
        self,
        parts: Mapping[str, Ask],
        run_dir: Path | None,
        stall_s: float = STALL_S,
        interval_s: float = INTERVAL_S,
        end: Callable[[], None] = lambda: os._exit(1),
    ) -> None:
        self.parts = parts
        self.run_dir = run_dir
        self.stall_s = stall_s
        self.interval_s = interval_s
        self.end = end
        self._open: dict[str, _Open] = {}
        self._readings: dict[str, Hashable] = {}
        self._waiting_for: str | None = None
        self._queue: Hashable = None
        self._last_progress = time.monotonic()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to watch, in a thread that ends with its process."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._watch, name="permix-watchdog", daemon=True)
            self._thread.start()

    def waiting(self, what: str | None, queue: Hashable = None) -> None:
        """Say what the trainer is waiting for, with the state of the queue; ``None`` when it waits no more."""
        with self._lock:
            if what != self._waiting_for or queue != self._queue:
                self._last_progress = time.monotonic()
            self._waiting_for, self._queue = what, queue

    def check(self) -> str | None:
        """One round: what is wrong, or ``None``."""
        for name, ask in self.parts.items():
            problem = self._check_part(name, ask)
            if problem:
                return problem
        with self._lock:
            still = time.monotonic() - self._last_progress
            if self._waiting_for is not None and still > self.stall_s:
                readings = "; ".join(f"{name}: {reading}" for name, reading in self._readings.items() if reading)
                return f"no progress for {still:.0f} s while waiting for {self._waiting_for}" + (
                    f" ({readings})" if readings else ""
                )
        return None

    def diagnose(self, patience_s: float = 10.0) -> list[str]:
        """Ask every part now; what is wrong with each."""
        asked = {name: self._try(ask) for name, ask in self.parts.items()}
        deadline = time.monotonic() + patience_s
        problems = []
        for name, question in asked.items():
            if isinstance(question, Exception):
                problems.append(_gone(name, question))
                continue
            try:
                answered, _ = question.answer(max(deadline - time.monotonic(), 0.1))
                if not answered:
                    problems.append(f"{name} has not answered for {patience_s:.0f} s")
            except Exception as error:
                problems.append(_gone(name, error))
        return problems

    def report(self, cause: str) -> None:
        """Leave the cause where the launcher finds it."""
        print(f"permix_verl: {cause}", file=sys.stderr, flush=True)
        if self.run_dir is not None:
            partial = self.run_dir / (CAUSE_FILE + ".partial")
            partial.write_text(cause)
            os.replace(partial, self.run_dir / CAUSE_FILE)

    def _watch(self) -> None:
        complained = False
        while True:
            time.sleep(self.interval_s)
            try:
                problem = self.check()
            except Exception:  # of the watchdog itself: better a run without than none
                if not complained:
                    traceback.print_exc()
                complained = True
                continue
            if problem:
                try:
                    self.report(problem)
                finally:
                    self.end()
                return

    def _check_part(self, name: str, ask: Ask) -> str | None:
        try:
            if name not in self._open:
                self._open[name] = _Open(ask(), time.monotonic())
            asked = self._open[name]
            answered, reading = asked.question.answer(0.05)
        except Exception as error:
            return _gone(name, error)
        silent = time.monotonic() - asked.since
        if answered:
            del self._open[name]
            with self._lock:
                if reading != self._readings.get(name):
                    self._last_progress = time.monotonic()
                self._readings[name] = reading
        elif silent > self.stall_s:
            return f"{name} has not answered for {silent:.0f} s"
        return None

    @staticmethod
    def _try(ask: Ask) -> Question | Exception:
        try:
            return ask()
        except Exception as error:
            return error


def _gone(name: str, error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    reason = lines[0] if lines else type(error).__name__
    return f"{name} is gone ({type(error).__name__}: {reason[:300]})"
