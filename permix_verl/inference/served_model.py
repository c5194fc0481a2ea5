"""Identity of the model behind a name at an endpoint, and its comparison with an earlier one.

Identified by the server's record (``/v1/models``) and, at vLLM's server, by the log-probs of greedy continuations of
fixed prompts. :mod:`permix_verl.inference.model_exchange` stores and compares it.
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
"""Prompts of the continuations. Plain texts: a chat template may insert today's date."""
PROBE_TOKENS = 8
"""Tokens of each continuation."""
TOP_LOGPROBS = 5
"""Most likely tokens compared at each position; the most that OpenAI's API returns."""
TOLERANCE = 0.05
"""Tolerated difference of log-probs, nats: bfloat16 and float32 differ by 0.03 on the lab's models."""
NOISE_FACTOR = 5.0
"""Tolerated multiple of the server's own noise, where that is more than :data:`TOLERANCE`."""
NOTICEABLE = 1e-3
"""Difference reported as a hint, nats: on one machine the same weights give the same log-probs."""
_STABLE_FIELDS = ("root", "parent", "owned_by")
_FRESH_S = 60.0

Continuation = list[tuple[str, Mapping[str, float]]]
"""Greedy continuation, in order: the chosen token, and the log-probs of the most likely tokens at its position."""


def logprob_distance(before: Sequence[Continuation], now: Sequence[Continuation]) -> float:
    """Return the mean absolute difference of log-probs over all comparable positions, nats.

    Positions are comparable up to the first one where the two continuations differ. A token among the most likely on
    one side only counts with its distance to the least likely token listed on the other side.
    """
    differences: list[float] = []
    for old, new in zip(before, now, strict=True):
        for (old_token, old_top), (new_token, new_top) in zip(old, new, strict=False):
            old_floor, new_floor = min(old_top.values()), min(new_top.values())
            for token in old_top.keys() | new_top.keys():
                a, b = old_top.get(token), new_top.get(token)
                if a is not None and b is not None:
                    differences.append(abs(a - b))
                elif a is not None:
                    differences.append(max(0.0, a - new_floor))
                elif b is not None:
                    differences.append(max(0.0, b - old_floor))
            if old_token != new_token:
                break
    return sum(differences) / len(differences) if differences else 0.0


@dataclass(frozen=True)
class ServedModel:
    """A model at an endpoint.

    Attributes:
        url: the endpoint's; not stored with the rows, because another one may serve the same model.
        record: the server's record in ``/v1/models``; empty if it lists none.
        greedy: a continuation of each of :data:`PROBES`; empty if the server gives no log-probs.
        noise: :func:`logprob_distance` between requesting them one by one and in one batch.
        seen: time of the requests, seconds since 1970.
    """

    url: str = ""
    record: Mapping[str, Any] = field(default_factory=dict)
    greedy: Sequence[Continuation] = ()
    noise: float = 0.0
    seen: float = field(default_factory=time.time)

    def to_record(self) -> dict[str, Any]:
        """Return the fields as plain data for a results folder, without the URL."""
        return {name: value for name, value in asdict(self).items() if name != "url"}

    def difference(self, before: "ServedModel") -> str:
        """Return the evidence that this is another model than before; empty if there is none.

        With log-probs the server's record alone is no evidence: a folder may have been moved.
        """
        fields = self._changed_fields(before)
        if not (before.greedy and self.greedy):
            return ", ".join(fields)
        distance, tolerance = logprob_distance(before.greedy, self.greedy), max(TOLERANCE, self._noise(before))
        if distance <= tolerance:
            return ""
        return ", ".join(
            [f"its log-probs of fixed texts differ by {distance:.2g} nats (tolerance {tolerance:.2g})", *fields]
        )

    def hint(self, before: "ServedModel") -> str:
        """Return signs of another model that are no evidence; empty if there are none.

        With log-probs: a difference within the tolerance but above the server's noise. Without: another creation time
        in the server's record, unless that is the time of the request.
        """
        if before.greedy and self.greedy:
            distance, fields = logprob_distance(before.greedy, self.greedy), self._changed_fields(before)
            if distance > max(NOTICEABLE, self._noise(before)):
                fields.insert(
                    0, f"its log-probs of fixed texts differ by {distance:.2g} nats; another GPU does that, too"
                )
            return ", ".join(fields)
        created = [_creation_time(served) for served in (before, self)]
        if None in created or created[0] == created[1]:
            return ""
        days = [time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(at or 0)) for at in created]
        return f"its server says that it was made at {days[1]} UTC, and said {days[0]} before"

    def _changed_fields(self, before: "ServedModel") -> list[str]:
        return [
            f"{name} was {before.record.get(name)!r} and is {self.record.get(name)!r}"
            for name in _STABLE_FIELDS
            if before.record.get(name) != self.record.get(name)
        ]

    def _noise(self, before: "ServedModel") -> float:
        return NOISE_FACTOR * max(before.noise, self.noise)


def _creation_time(served: ServedModel) -> float | None:
    created = served.record.get("created")
    if not isinstance(created, int | float) or created <= 0 or abs(created - served.seen) < _FRESH_S:
        return None
    return float(created)
