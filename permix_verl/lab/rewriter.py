"""The lab's rewriter: a program that says a solution as a persona of the lab would, both words always there.

An engine like any other (``permix_verl.inference.engines``), so styled targets are made by the same code as with a
language model. It takes the persona's whole style: a persona that blurts leaves the calculation out, as the paper's
minimalist may, and the answer stays right. That its words never fail is what sets its targets apart from what the
base model says by itself.
"""

import random
from collections.abc import Sequence

from permix_verl.errors import UserError
from permix_verl.inference.engines import Completion, Request
from permix_verl.lab.styles import answer, style_of
from permix_verl.personas.pool import load_pool
from permix_verl.sft_targets.rewriting import read_part

NAME = "lab"


class LabRewriter:
    """An :class:`~permix_verl.inference.engines.Engine`; the same request gives the same answer."""

    def __init__(self) -> None:
        self._persona_of = {
            persona.system_prompt: persona.key for pool in ("train", "eval") for persona in load_pool(pool)
        }
        self._finished: list[Completion] = []

    def check_lengths(self, prompts: Sequence[str], max_tokens: int) -> None:
        """Nothing: it has no context that could be too short."""

    def room(self) -> int:
        return 1024

    def submit(self, requests: Sequence[Request]) -> None:
        """Rewrite at once.

        Raises:
            UserError: a persona that is not in the lab.
        """
        self._finished += [Completion(request.key, self._rewritten(request), "stop", 0, 0) for request in requests]

    def collect(self) -> list[Completion]:
        finished, self._finished = self._finished, []
        return finished

    def close(self) -> None:
        """Nothing: it has started nothing."""

    def _rewritten(self, request: Request) -> str:
        text = read_part(request.messages, "persona")
        if text not in self._persona_of:
            raise UserError(
                f"the lab's rewriter knows no persona {text[:60]!r}; use the packaged pools, or another rewriter"
            )
        rationale, _, box = read_part(request.messages, "solution").rpartition("The answer is \\boxed{")
        style = style_of(self._persona_of[text])
        return answer(rationale.strip(), box.removesuffix("}."), style, random.Random(request.seed), voice=1.0)
