"""Cross-persona groups: the rollouts of one problem are under as many personas, and one advantage compares them.

    permix.groups=personas                      # rows (default): all rollouts of a row are under its one persona
    permix.no_persona_in_group=true             # the first rollout of each group is without a persona

In PerMix-RLVR (arXiv 2604.08986) a group has one persona, so its baseline is that persona's accuracy on the problem.
Here mean and deviation are over the problem, so a persona that does worse than the others is told so.
"""

from collections.abc import Sequence
from dataclasses import replace

from permix_verl.personas.mixing import draw_persona
from permix_verl.personas.pool import NO_PERSONA
from permix_verl.training.hooks.buffer_hooks import RunContext
from permix_verl.training.methods.extension import MAX_DRAWS, Extension, Prompt
from permix_verl.training.methods.group_advantage import group_advantage
from permix_verl.training.methods.training_personas import training_pool
from permix_verl.training.observability.persona_metrics import Rollout


class CrossPersonaGroups(Extension):
    """Splits each prompt into prompts of one rollout, each with its own persona.

    A group's personas are different where the pool has enough; the first is the row's own draw. Rows without a persona
    stay a group without personas.
    """

    def __init__(self, run: RunContext) -> None:
        super().__init__(run)
        self._with_none = bool(run.trainer.config.permix.no_persona_in_group)

    def on_submit(self, step: int, prompts: Sequence[Prompt]) -> Sequence[Prompt]:
        return [one for prompt in prompts for one in self._split(prompt)]

    def advantages(self, step: int, rollouts: Sequence[Rollout]) -> Sequence[float]:
        by_deviation = bool(self.run.trainer.config.algorithm.get("norm_adv_by_std_in_grpo", True))
        groups = [rollout.compared_with for rollout in rollouts]
        return group_advantage([rollout.reward for rollout in rollouts], groups, by_deviation).tolist()

    def _split(self, prompt: Prompt) -> Sequence[Prompt]:
        if prompt.persona == NO_PERSONA:
            return [prompt]
        personas = self._personas(prompt)
        return [replace(prompt, persona=key, rollouts=1, first=sample) for sample, key in enumerate(personas)]

    def _personas(self, prompt: Prompt) -> list[str]:
        pool = training_pool(self.run)
        chosen = [NO_PERSONA, prompt.persona] if self._with_none else [prompt.persona]
        draws = 0
        while len(chosen) < prompt.rollouts:
            salted = f"{prompt.row_id}\x1f{prompt.redrawn}\x1f{len(chosen)}\x1f{draws}"
            key = draw_persona(pool, self.run.seed, prompt.epoch, salted).key
            draws += 1
            if key not in chosen or draws >= MAX_DRAWS or len(chosen) >= len(pool):
                chosen.append(key)
                draws = 0
        return chosen[: prompt.rollouts]
