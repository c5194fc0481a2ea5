"""The request loop shared by evaluation, judges and target generation: keep an engine full until all is done."""

import sys
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from itertools import islice

from tqdm import tqdm

from permix_verl.inference.engines import Completion, Engine, Request

MAX_BATCH = 256
"""Maximum batch handed to the engine before completions are collected."""


def run_requests(
    engine: Engine, requests: Iterable[Request], take: Callable[[Sequence[Completion]], Iterable[Request]]
) -> None:
    """Submit all requests, and whatever requests their completions lead to.

    Args:
        requests: consumed as the engine has room, so that they need not all be in memory.
        take: called after every collection, also with no completions; stores them, and returns follow-up requests.
    """
    pending, follow_ups = iter(requests), deque[Request]()
    running, exhausted = 0, False
    while True:
        room = min(engine.room(), MAX_BATCH)
        batch = [] if exhausted else list(islice(pending, room))
        exhausted = exhausted or len(batch) < room
        if exhausted:
            batch += [follow_ups.popleft() for _ in range(min(room - len(batch), len(follow_ups)))]
        if batch:
            engine.submit(batch)
            running += len(batch)
        if running:
            completions = engine.collect()
            running -= len(completions)
            follow_ups.extend(take(completions))
        elif exhausted and not follow_ups:
            return


def progress_bar(total: int, done: int, unit: str, title: str | None = None) -> "tqdm[None]":
    """Return a progress bar on standard error; without a terminal it prints every 30 s."""
    return tqdm(
        total=total,
        initial=done,
        desc=title,
        unit=unit,
        smoothing=0.05,
        mininterval=1 if sys.stderr.isatty() else 30,
        file=sys.stderr,
    )
