"""Keep an engine full until nothing is left to ask; what comes back may lead to further requests."""

from collections import deque
from collections.abc import Callable, Iterable, Sequence

from permix_verl.inference.engines import Completion, Engine, Request

SUBMIT = 256
"""Most requests handed over at a time: what comes back is taken before the next lot."""


def pump(
    engine: Engine, requests: Iterable[Request], take: Callable[[Sequence[Completion]], Iterable[Request]]
) -> None:
    """Ask everything.

    Args:
        take: keeps completions, and gives what is to be asked because of them.
    """
    queue = deque(requests)
    running = 0
    while queue or running:
        lot = [queue.popleft() for _ in range(min(engine.room(), SUBMIT, len(queue)))]
        if lot:
            engine.submit(lot)
            running += len(lot)
        finished = engine.collect() if running else []
        running -= len(finished)
        queue.extend(take(finished))
