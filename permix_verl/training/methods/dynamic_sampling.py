"""Dynamic sampling: groups from which GRPO learns nothing are replaced, or not sampled in the first place.

    permix.dynamic_sampling=refill              # a group of equal verdicts is replaced by a fresh one (DAPO)
    permix.dynamic_sampling_rounds=2            # times that a step may do so; what is left then is trained as it is
    permix.dynamic_sampling=retire              # a problem whose last groups were all solved is left out
    permix.dynamic_sampling_solved=2            # groups after which a problem counts as solved

Dynamic sampling is DAPO's (arXiv 2503.14476, section 3.2). It goes by the verdict ``acc``, never by a shaped score:
that differs within every group and would keep all. Replaced groups were generated, so they count as rollouts
(``sampling/rollouts``). A problem that is retired costs nothing, and comes back when no other is left.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from permix_verl.errors import UserError
from permix_verl.seeding import derive_seed
from permix_verl.training.hooks.buffer_hooks import RunContext
from permix_verl.training.methods.extension import Extension, Prompt
from permix_verl.training.observability.persona_metrics import Rollout


class RefillGroups(Extension):
    """Marks groups whose verdicts are all equal. The buffer replaces them, up to ``dynamic_sampling_rounds`` times."""

    def __init__(self, run: RunContext) -> None:
        super().__init__(run)
        self._replaced: Counter[str] = Counter()

    def teaches_nothing(self, step: int, group: Sequence[Rollout]) -> bool:
        return len({rollout.accuracy for rollout in group}) == 1

    def on_dropped(self, step: int, rollouts: Sequence[Rollout]) -> None:
        self._replaced = Counter(rollout.persona for rollout in rollouts)

    def on_rollouts(self, step: int, rollouts: Sequence[Rollout]) -> Mapping[str, float]:
        """Log how many rollouts of each persona were replaced."""
        return {f"sampling/replaced/{persona}": float(count) for persona, count in sorted(self._replaced.items())}


class RetireProblems(Extension):
    """Replaces problems whose last groups, under whatever personas, were solved by every rollout."""

    def __init__(self, run: RunContext) -> None:
        super().__init__(run)
        self._needed = int(run.trainer.config.permix.dynamic_sampling_solved)
        if self._needed < 1:
            raise UserError(f"permix.dynamic_sampling_solved={self._needed}", "give 1 or more")
        self._solved: dict[str, int] = {}

    def on_submit(self, step: int, prompts: Sequence[Prompt]) -> Sequence[Prompt]:
        if not any(self._is_retired(prompt.row_id) for prompt in prompts):
            return prompts
        taken = {prompt.row_id for prompt in prompts}
        open_rows = [row for row in self.run.trainer.train_dataset.row_ids if self._is_open(row, taken)]
        chosen = []
        for place, prompt in enumerate(prompts):
            if open_rows and self._is_retired(prompt.row_id):
                number = derive_seed("permix.retire", self.run.seed, step, str(place))
                prompt = replace(prompt, row_id=open_rows.pop(number % len(open_rows)), redrawn=step)
            chosen.append(prompt)
        return chosen

    def _is_retired(self, row: str) -> bool:
        return self._solved.get(row, 0) >= self._needed

    def _is_open(self, row: str, taken: set[str]) -> bool:
        return row not in taken and not self._is_retired(row)

    def on_rollouts(self, step: int, rollouts: Sequence[Rollout]) -> Mapping[str, float]:
        by_row: dict[str, list[Rollout]] = {}
        for rollout in rollouts:
            by_row.setdefault(rollout.row_id, []).append(rollout)
        for row, own in by_row.items():
            solved = all(rollout.accuracy == 1 for rollout in own)
            self._solved[row] = self._solved.get(row, 0) + 1 if solved else 0
        return {"sampling/retired_problems": float(sum(map(self._is_retired, self._solved)))}

    def state(self) -> Mapping[str, Any]:
        return {"solved": {row: number for row, number in sorted(self._solved.items()) if number}}

    def load_state(self, state: Mapping[str, Any]) -> None:
        self._solved = dict(state["solved"])
