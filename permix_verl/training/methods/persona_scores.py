"""Debiased moving averages of each persona's accuracy."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field


@dataclass
class PersonaScores:
    """Moving averages, one per persona, of the accuracy of its rollouts in the steps that have some.

    With ``m_k <- decay m_k + (1 - decay) a_k`` at each of a persona's own steps from ``m_k = 0``, the average after t
    steps is ``m_k / (1 - decay^t)``: a weighted mean of its accuracies, without the bias to 0 (as Adam's).

    Attributes:
        decay: weight of the past, in [0, 1).
        moments: persona -> (``m_k``, t).
    """

    decay: float
    moments: dict[str, tuple[float, int]] = field(default_factory=dict)

    def add(self, scores: Iterable[tuple[str, float]]) -> None:
        """Take in a step's (persona, accuracy) of each rollout."""
        sums: dict[str, tuple[float, int]] = {}
        for persona, score in scores:
            total, count = sums.get(persona, (0.0, 0))
            sums[persona] = total + score, count + 1
        for persona in sorted(sums):
            total, count = sums[persona]
            moment, steps = self.moments.get(persona, (0.0, 0))
            self.moments[persona] = self.decay * moment + (1 - self.decay) * total / count, steps + 1

    def averages(self) -> dict[str, float]:
        """Return persona -> debiased average, for the personas that have been seen."""
        return {persona: moment / (1 - self.decay**steps) for persona, (moment, steps) in sorted(self.moments.items())}

    def to_json(self) -> dict[str, list[float]]:
        return {persona: list(moment) for persona, moment in sorted(self.moments.items())}

    @classmethod
    def from_json(cls, decay: float, stored: Mapping[str, Iterable[float]]) -> "PersonaScores":
        """Read what :meth:`to_json` gave."""
        moments = {persona: (float(moment), int(steps)) for persona, (moment, steps) in stored.items()}
        return cls(decay, moments)
