"""Which model stands behind a name that an endpoint serves, and when it is another one than before.

What is seen of it is the server's record (``/v1/models``) and, of vLLM's server, the log-probs of greedy continuations
of fixed texts. :mod:`permix_verl.inference.model_exchange` keeps and compares it.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

PROBES = (
    "You are a chef. A pot holds 12 eggs and 5 of them break. How many are left? Let's think step by step:",
    "Q: Tom has 3 boxes with 14 apples each and gives 9 apples away. How many apples has he now?\nA:",
    "You are a pirate.\n\nWhat is 17 + 26? Put the answer in \\boxed{}.\n\n",
    "I cannot speak to that, traveller; but the old songs say that",
    "def mean(values):\n",
    "The capital of France is",
)
"""Texts that are continued. Plain ones: a chat template may write the day's date into a prompt."""
TOKENS = 8
"""Of each continuation."""
TOP = 5
"""Most likely tokens that are looked at in each place; OpenAI's API has no more."""
TOLERANCE = 0.05
"""Nats that the same model's log-probs may differ by: bfloat16 and float32 are 0.03 apart on the lab's models."""
NOISE = 5.0
"""How many times the difference between two ways to ask the same server is allowed, where that is more."""
EXACT = 1e-3
"""Nats, from which on a difference is said: on one machine the same weights give the same log-probs."""
_STABLE = ("root", "parent", "owned_by")
_FRESH_S = 60.0

Greedy = list[tuple[str, Mapping[str, float]]]
"""Of a continuation, in order: the token that was taken, and the log-probs of the likeliest ones there."""


def distance(before: Sequence[Greedy], now: Sequence[Greedy]) -> float:
    """Mean difference in nats of the log-probs in all places that can be compared.

    A place can be where both continuations have taken the same tokens before it. A token that is among the likeliest
    on one side alone differs by at least what it lies above the other side's least likely one.
    """
    differences: list[float] = []
    for old, new in zip(before, now, strict=True):
        for (old_token, old_top), (new_token, new_top) in zip(old, new, strict=False):
            least = {id(top): min(top.values()) for top in (old_top, new_top)}
            for token in old_top.keys() | new_top.keys():
                a, b = old_top.get(token), new_top.get(token)
                if a is not None and b is not None:
                    differences.append(abs(a - b))
                elif a is not None:
                    differences.append(max(0.0, a - least[id(new_top)]))
                elif b is not None:
                    differences.append(max(0.0, b - least[id(old_top)]))
            if old_token != new_token:
                break
    return sum(differences) / len(differences) if differences else 0.0


@dataclass(frozen=True)
class Served:
    """A model at an endpoint.

    Attributes:
        url: of the endpoint; another one may serve the same model, so it is not kept with the rows.
        record: the server's own, of ``/v1/models``; empty where it lists none.
        greedy: a continuation of each of :data:`PROBES`; empty where the server gives no log-probs.
        noise: :func:`distance` between asking for them one by one and all at once.
        seen: when, in seconds since 1970.
    """

    url: str = ""
    record: Mapping[str, Any] = field(default_factory=dict)
    greedy: Sequence[Greedy] = ()
    noise: float = 0.0
    seen: float = field(default_factory=time.time)

    def kept(self) -> dict[str, Any]:
        """Its fields as plain data, for a results folder: without the endpoint's address."""
        return {name: value for name, value in asdict(self).items() if name != "url"}

    def differs(self, before: "Served") -> str:
        """What shows that this is another model than the one before; empty if nothing does.

        The server's record decides only where there are no log-probs: a folder may have been moved.
        """
        fields = self._fields(before)
        if not (before.greedy and self.greedy):
            return ", ".join(fields)
        found, allowed = distance(before.greedy, self.greedy), max(TOLERANCE, self._noise(before))
        if found <= allowed:
            return ""
        return ", ".join(
            [f"its log-probs of fixed texts differ by {found:.2g} nats, where {allowed:.2g} may be", *fields]
        )

    def remark(self, before: "Served") -> str:
        """What may mean another model and may not; empty if there is nothing of the kind.

        With log-probs, what :meth:`differs` lets pass and the server's noise does not explain; without, another time
        at which the server says that the model was made, unless that is the time of the request.
        """
        if before.greedy and self.greedy:
            found, fields = distance(before.greedy, self.greedy), self._fields(before)
            if found > max(EXACT, self._noise(before)):
                fields.insert(0, f"its log-probs of fixed texts differ by {found:.2g} nats; another GPU does that, too")
            return ", ".join(fields)
        made = [_made(one) for one in (before, self)]
        if None in made or made[0] == made[1]:
            return ""
        days = [time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(at or 0)) for at in made]
        return f"its server says that it was made at {days[1]} UTC, and said {days[0]} before"

    def _fields(self, before: "Served") -> list[str]:
        return [
            f"{name} was {before.record.get(name)!r} and is {self.record.get(name)!r}"
            for name in _STABLE
            if before.record.get(name) != self.record.get(name)
        ]

    def _noise(self, before: "Served") -> float:
        return NOISE * max(before.noise, self.noise)


def _made(served: Served) -> float | None:
    created = served.record.get("created")
    if not isinstance(created, int | float) or created <= 0 or abs(created - served.seen) < _FRESH_S:
        return None
    return float(created)
