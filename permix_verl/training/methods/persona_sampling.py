"""Persona sampling: the personas of a step are drawn again, by weights that follow each persona's accuracy.

    permix.persona_sampling=group-dro           # or variance; uniform is PerMix-RLVR (arXiv 2604.08986)
    permix.persona_sampling_strength=3          # eta of group-dro
    permix.persona_sampling_floor=0.1           # least weight of a persona, as a share of its uniform weight

The draw is a function of (seed, epoch, row) and the weights, which are those of the step that the row is for, however
far the data loader has read ahead. Rows without a persona (``permix.no_persona_probability``) keep none: they are a
condition with a share of its own, outside the weights. Formulas and sources: ``persona_weights.py``.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from permix_verl.errors import UserError
from permix_verl.personas.pool import LARGE_POOL, NO_PERSONA
from permix_verl.seeding import HASH_RANGE, derive_seed
from permix_verl.training.hooks.buffer_hooks import RunContext
from permix_verl.training.methods.extension import MAX_DRAWS, Extension, Prompt
from permix_verl.training.methods.persona_scores import PersonaScores
from permix_verl.training.methods.persona_weights import Floats, persona_weights, weight_rule
from permix_verl.training.methods.training_personas import training_pool
from permix_verl.training.observability.persona_metrics import Rollout

DECAY = 0.8
"""Weight of the past in a persona's accuracy: its last five steps count for two thirds."""


class PersonaSampling(Extension):
    """Draws each prompt's persona by weight.

    Raises:
        UserError: an unknown rule, a strength or floor out of range, or data without a persona draw.
    """

    def __init__(self, run: RunContext) -> None:
        super().__init__(run)
        ours = run.trainer.config.permix
        self._rule = weight_rule(str(ours.persona_sampling), float(ours.persona_sampling_strength))
        self._floor = float(ours.persona_sampling_floor)
        if not 0 <= self._floor <= 1:
            raise UserError(f"permix.persona_sampling_floor={self._floor}", "give a share from 0 to 1")
        self._scores = PersonaScores(DECAY)
        self._dropped: list[Rollout] = []

    def weights(self) -> tuple[tuple[str, ...], Floats]:
        """Return the keys of the personas to train with, and their weights for the next step, (K,)."""
        pool = training_pool(self.run)
        base = np.array([persona.weight for persona in pool], dtype=np.float64)
        return pool.keys, persona_weights(self._scores.averages(), pool.keys, base, self._rule, self._floor)

    def on_submit(self, step: int, prompts: Sequence[Prompt]) -> Sequence[Prompt]:
        keys, weights = self.weights()
        if not self._scores.moments:
            return prompts  # nothing is known yet: the draw of the data is uniform, or by the pool's own weights
        upper = np.cumsum(weights) / weights.sum()
        taken: dict[str, set[str]] = defaultdict(set)
        return [self._drawn(prompt, keys, upper, taken[prompt.group]) for prompt in prompts]

    def _drawn(self, prompt: Prompt, keys: Sequence[str], upper: Floats, taken: set[str]) -> Prompt:
        """Return the prompt under a persona that its group does not have yet, as far as a few draws find one."""
        if prompt.persona == NO_PERSONA:
            return prompt
        for attempt in range(MAX_DRAWS):
            place = f"{prompt.row_id}\x1f{prompt.redrawn}\x1f{prompt.first}\x1f{attempt}"
            number = derive_seed("permix.weighted", self.run.seed, prompt.epoch, place)
            key = keys[min(int(np.searchsorted(upper, number / HASH_RANGE, side="right")), len(keys) - 1)]
            if key not in taken or len(taken) >= len(keys):
                break
        taken.add(key)
        return replace(prompt, persona=key)

    def on_dropped(self, step: int, rollouts: Sequence[Rollout]) -> None:
        self._dropped = list(rollouts)  # a persona's accuracy is that of all its rollouts

    def on_rollouts(self, step: int, rollouts: Sequence[Rollout]) -> Mapping[str, float]:
        """Take in the accuracies, and log the weights of the next step."""
        seen, self._dropped = [*self._dropped, *rollouts], []
        self._scores.add((one.persona, one.accuracy) for one in seen if one.persona != NO_PERSONA)
        keys, weights = self.weights()
        extremes = {"sampling/weight/max": float(weights.max()), "sampling/weight/min": float(weights.min())}
        if len(keys) > LARGE_POOL:
            return extremes
        slugs = [persona.slug for persona in training_pool(self.run)]
        return extremes | {f"sampling/weight/{slug}": float(w) for slug, w in zip(slugs, weights, strict=True)}

    def state(self) -> Mapping[str, Any]:
        return {"accuracy": self._scores.to_json()}

    def load_state(self, state: Mapping[str, Any]) -> None:
        self._scores = PersonaScores.from_json(DECAY, state["accuracy"])
