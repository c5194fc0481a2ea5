"""Reward for persona adoption, gated on correctness: accuracy and style are normalised apart.

    permix.style=likelihood                     # or markers (the lab's), MODULE:CLASS; off: PerMix-RLVR
    permix.style_weight=0.5

The paper (arXiv 2604.08986) leaves persona fidelity to future work: PerMix-RLVR keeps it as far as the KL term does. A
right answer here also has a style score (``reward_fns/persona_reward.py``). Accuracy and style have an advantage each,
within their group, and the advantage is their weighted sum, normalised over the batch (GDPO, arXiv 2601.05242). A wrong
answer has no style, so a group of wrong answers has no advantage, however much in character they are.
"""

from collections.abc import Mapping, Sequence

from permix_verl.errors import UserError
from permix_verl.training.hooks.buffer_hooks import RunContext
from permix_verl.training.methods.extension import Extension
from permix_verl.training.methods.group_advantage import gdpo_advantage
from permix_verl.training.observability.persona_metrics import Rollout

LEAST_RIGHT = 8
"""Right answers without any style after which the scorer is taken for broken."""


class PersonaAdoption(Extension):
    """Computes the advantage from verdicts and styles.

    Raises:
        UserError: a weight that is not positive.
    """

    def __init__(self, run: RunContext) -> None:
        super().__init__(run)
        self._weight = float(run.trainer.config.permix.style_weight)
        if self._weight <= 0:
            raise UserError(f"permix.style_weight={self._weight:g}", "give more than 0, or permix.style=off")

    def advantages(self, step: int, rollouts: Sequence[Rollout]) -> Sequence[float]:
        by_deviation = bool(self.run.trainer.config.algorithm.get("norm_adv_by_std_in_grpo", True))
        groups = [rollout.compared_with for rollout in rollouts]
        verdicts = [rollout.accuracy for rollout in rollouts]
        rewards = [(1.0, verdicts), (self._weight, [_style(rollout) for rollout in rollouts])]
        return gdpo_advantage(rewards, groups, by_deviation).tolist()

    def on_rollouts(self, step: int, rollouts: Sequence[Rollout]) -> Mapping[str, float]:
        """Log the mean style of right answers, and the share of them that has none.

        Raises:
            UserError: none of a step's right answers has a style, so the scorer does not work.
        """
        right = [rollout for rollout in rollouts if rollout.accuracy == 1]
        styles = [rollout.style for rollout in right if rollout.style is not None]
        if len(right) >= LEAST_RIGHT and not styles:
            cause = f"none of the {len(right)} right answers of step {step} has a style"
            self.run.stop(UserError(cause, "the lines 'no style of row' above have the scorer's error"))
        metrics = {"reward/style_missing_rate": 1 - len(styles) / len(right)} if right else {}
        return {**metrics, "reward/style": sum(styles) / len(styles)} if styles else metrics


def _style(rollout: Rollout) -> float:
    return float("nan") if rollout.style is None or rollout.accuracy != 1 else rollout.style
