"""The lab's rewriter: a program that rewrites a solution in a lab persona's style.

It implements the engine protocol (``permix_verl.inference.engines``), so styled targets are made by the same code as
with a language model. A persona that blurts leaves the calculation out; the final answer stays correct. Both voice
words are always present, unlike in the base model's completions.
"""

import random
from collections.abc import Sequence

from permix_verl.errors import UserError
from permix_verl.inference.engines import Completion, Request
from permix_verl.lab.styles import style_of, styled_completion
from permix_verl.personas.pool import load_pool
from permix_verl.sft_targets.rewriting import read_part

NAME = "lab"


class LabRewriter:
    """An :class:`~permix_verl.inference.engines.Engine` with deterministic completions."""

    def __init__(self) -> None:
        self._persona_of = {
            persona.system_prompt: persona.key for pool in ("train", "eval") for persona in load_pool(pool)
        }
        self._finished: list[Completion] = []

    def check_lengths(self, prompts: Sequence[str], max_tokens: int) -> None:
        """Do nothing: there is no context limit."""

    def room(self) -> int:
        return 1024

    def submit(self, requests: Sequence[Request]) -> None:
        """Rewrite the requests immediately.

        Raises:
            UserError: a persona that is not in the lab.
        """
        self._finished += [Completion(request.key, self._rewritten(request), "stop", 0, 0) for request in requests]

    def collect(self) -> list[Completion]:
        finished, self._finished = self._finished, []
        return finished

    def close(self) -> None:
        """Do nothing: there is nothing to release."""

    def _rewritten(self, request: Request) -> str:
        text = read_part(request.messages, "persona")
        if text not in self._persona_of:
            raise UserError(f"unknown persona {text[:60]!r}", "use the packaged pools, or another rewriter")
        rationale, _, box = read_part(request.messages, "solution").rpartition("The answer is \\boxed{")
        style = style_of(self._persona_of[text])
        return styled_completion(
            rationale.strip(), box.removesuffix("}."), style, random.Random(request.seed), voice=1.0
        )
