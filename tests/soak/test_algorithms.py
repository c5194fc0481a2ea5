"""Variants of GRPO by verl's own keys, and the extensions, each in three steps of the lab (docs/methods.md).

By hand, about twenty minutes on 2 cores:

.venv/bin/python -m pytest tests/soak/test_algorithms.py -s --basetemp=runs/soak | tee docs/soak/algorithms.log
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from permix_verl.runs import metrics as m

from ..e2e.conftest import Recipe, recipe  # noqa: F401

KNOBS = {"LAB_PROBLEMS": "56", "SAVE_FREQ": "1000", "TEST_FREQ": "1000"}
STEPS = 3
ACTOR = "actor_rollout_ref.actor"
IMPORTANCE = "algorithm.rollout_correction.rollout_is"

ALGORITHMS: Mapping[str, Sequence[str]] = {
    "GRPO": (),
    "Dr.GRPO": ("algorithm.norm_adv_by_std_in_grpo=False", f"{ACTOR}.loss_agg_mode=seq-mean-token-sum-norm"),
    "clip-higher": (f"{ACTOR}.clip_ratio_low=0.2", f"{ACTOR}.clip_ratio_high=0.28"),
    "GSPO": (
        f"{ACTOR}.policy_loss.loss_mode=gspo",
        f"{ACTOR}.loss_agg_mode=seq-mean-token-mean",
        f"{ACTOR}.clip_ratio_low=3e-4",
        f"{ACTOR}.clip_ratio_high=4e-4",
    ),
    "CISPO": (f"{ACTOR}.policy_loss.loss_mode=cispo",),
    "truncated importance sampling": (f"{IMPORTANCE}=token", f"{IMPORTANCE}_threshold=2.0"),
    "RLOO": ("algorithm.adv_estimator=rloo",),
    "adoption by markers": ("permix.style=markers",),
    "adoption by likelihood": ("permix.style=likelihood", "permix.style_settings={others:3}"),
    "variance, cross-persona groups, retired problems": (
        "permix.persona_sampling=variance",
        "permix.groups=personas",
        "permix.no_persona_in_group=true",
        "permix.dynamic_sampling=retire",
    ),
}
"""Name -> overrides of the recipe."""


@pytest.mark.parametrize("name", ALGORITHMS)
def test_an_algorithm_trains_three_steps_with_lora(name: str, recipe: Recipe, tmp_path: Path) -> None:  # noqa: F811
    run = recipe("run_permix_grpo.sh", tmp_path / "run", *ALGORITHMS[name], **KNOBS).check()
    steps = m.training_steps(run.metrics)
    assert list(steps) == list(range(1, STEPS + 1))
    for values in steps.values():
        assert all(math.isfinite(values[key]) for key in (m.REWARD, "actor/grad_norm", "actor/pg_loss"))
        assert values["actor/grad_norm"] > 0
        assert values[m.ROLLOUT_ACTOR_CORR] > 0.99
    if name.startswith("adoption"):
        assert all(values["reward/style_missing_rate"] < 1 for values in steps.values())
    norms = ", ".join(f"{values['actor/grad_norm']:.4f}" for values in steps.values())
    rewards = ", ".join(f"{values[m.REWARD]:.3f}" for values in steps.values())
    print(f"{name}: rewards {rewards}; gradient norms {norms}; checks passed")


def test_the_variants_are_not_one_algorithm() -> None:
    """Negative control: every entry but the first sets something, and no two set the same."""
    settings = [tuple(sorted(overrides)) for overrides in ALGORITHMS.values()]
    assert settings[0] == ()
    assert len(set(settings)) == len(settings)
