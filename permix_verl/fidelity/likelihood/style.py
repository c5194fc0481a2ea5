"""Style by likelihood, as a scorer of ``reward_fns/persona_reward.py``: no judge, and no marker.

The style of an answer is its log-likelihood ratio under a frozen base: behind its own persona's prompt, less the mean
behind the prompts of some other personas, in nats per token. Which others is a function of persona and question, so all
answers to one prompt are compared with the same. ``permix likelihood-check`` tells whether a base is fit for this.
"""

import asyncio
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from permix_verl.errors import UserError
from permix_verl.fidelity.likelihood.scores import load_base, persona_log_likelihoods
from permix_verl.personas.pool import Persona, load_pool
from permix_verl.personas.prompts import build_messages
from permix_verl.seeding import derive_seed
from permix_verl.statistics.identification import log_ratio


class LikelihoodStyle:
    """Scores answers under a base that is loaded at the first of them, one at a time.

    Args:
        base: the frozen base: hub name or folder.
        pool: personas of the rows.
        others: personas that an answer's own is compared with.
        template_kwargs: chat template variables, as in training.
        device: of the base.

    Raises:
        UserError: no such pool, or too few personas in it.
    """

    def __init__(
        self,
        base: str,
        pool: str = "train",
        others: int = 7,
        template_kwargs: Mapping[str, Any] | None = None,
        device: str = "cpu",
    ) -> None:
        self._pool = load_pool(pool)
        if not 1 <= others < len(self._pool):
            raise UserError(
                f"{others} other personas of a pool of {len(self._pool)}", f"give 1 to {len(self._pool) - 1}"
            )
        self._base, self._others, self._device = base, others, device
        self._template_kwargs = dict(template_kwargs or {})
        self._loaded: tuple[Any, Any] | None = None
        self._lock = threading.Lock()
        self._thread = ThreadPoolExecutor(max_workers=1)

    async def score(self, persona: str, question: str, solution: str) -> float | None:
        """Return the log-likelihood ratio, nats per token; ``None`` for an answer without a token.

        Raises:
            UserError: a row without its question, a persona that is not in the pool, or a base that cannot be loaded.
        """
        if not question:
            raise UserError("extra_info.question is missing", "prepare the rows with permix prep")
        if not solution.strip():
            return None
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._ratio, persona, question, solution)

    def personas(self, persona: str, question: str) -> list[Persona]:
        """Return an answer's own persona, and the others that it is compared with."""
        keys = [key for key in self._pool.keys if key != persona]
        keys.sort(key=lambda key: derive_seed("permix.style", persona, question, key))
        return [self._pool.get(persona), *map(self._pool.get, keys[: self._others])]

    def _ratio(self, persona: str, question: str, solution: str) -> float:
        with self._lock:
            if self._loaded is None:
                self._loaded = load_base(self._base, self._device)
        model, tokenizer = self._loaded
        personas, messages = self.personas(persona, question), build_messages(question, None)
        scores = persona_log_likelihoods(model, tokenizer, messages, [solution], personas, self._template_kwargs)
        return float(log_ratio(scores, [0])[0])
