"""Style by the lab's markers: the fraction of a persona's two words in place, as a scorer of ``persona_reward.py``."""

from permix_verl.lab.styles import styles, voice_kept


class MarkerStyle:
    """Scores the voice of a persona of the lab; other personas have no style."""

    async def score(self, persona: str, question: str, solution: str) -> float | None:
        """Return 0, 0.5 or 1, or ``None`` for a persona that the lab does not know."""
        return voice_kept(solution, persona) if persona in styles() else None
