"""Cross-persona groups, and the advantages over groups and over several rewards."""

import numpy as np
import pytest

from permix_verl.personas.pool import NO_PERSONA
from permix_verl.training.methods.cross_persona_groups import CrossPersonaGroups
from permix_verl.training.methods.group_advantage import gdpo_advantage, group_advantage

from ....support.extension_runs import POOL, prompts, rollouts_of, run_with


def test_a_group_has_as_many_personas_as_rollouts_and_starts_with_the_rows_own() -> None:
    given = prompts(300)
    split = CrossPersonaGroups(run_with()).on_submit(1, given)
    assert len(split) == 300 * 8
    for number, prompt in enumerate(given):
        group = split[8 * number : 8 * number + 8]
        assert group[0].persona == prompt.persona
        assert len({one.persona for one in group}) == 8
        assert {(one.row_id, one.group, one.rollouts) for one in group} == {(prompt.row_id, prompt.group, 1)}
        assert [one.first for one in group] == list(range(8))
    counts = [sum(one.persona == key for one in split) for key in POOL.keys]
    assert min(counts) > 60, "each is drawn about 96 times"
    assert CrossPersonaGroups(run_with()).on_submit(1, given[:5]) == split[:40]


def test_the_first_rollout_may_be_without_a_persona() -> None:
    split = CrossPersonaGroups(run_with(no_persona_in_group=True)).on_submit(1, prompts(20))
    for number in range(20):
        group = [one.persona for one in split[8 * number : 8 * number + 8]]
        assert group[0] == NO_PERSONA
        assert len(set(group)) == 8


def test_personas_repeat_where_the_pool_is_smaller_than_the_group() -> None:
    split = CrossPersonaGroups(run_with()).on_submit(1, prompts(3, rollouts=60))
    for number in range(3):
        group = [one.persona for one in split[60 * number : 60 * number + 60]]
        assert set(group) == set(POOL.keys)
        assert len(group) == 60


def test_rows_without_a_persona_stay_a_group() -> None:
    given = prompts(3, persona=NO_PERSONA)
    assert list(CrossPersonaGroups(run_with()).on_submit(1, given)) == given


def test_the_advantage_compares_personas() -> None:
    extension = CrossPersonaGroups(run_with())
    rollouts = [*rollouts_of("chef", [1, 1, 0, 0], "row/0"), *rollouts_of("pirate", [1, 1, 1, 1], "row/1")]
    deviation = np.std([1, 1, 0, 0], ddof=1)
    wanted = [*(np.array([0.5, 0.5, -0.5, -0.5]) / deviation), 0, 0, 0, 0]
    assert extension.advantages(1, rollouts) == pytest.approx(wanted, abs=1e-5)
    extension.run.trainer.config.algorithm["norm_adv_by_std_in_grpo"] = False
    assert extension.advantages(1, rollouts) == pytest.approx([0.5, 0.5, -0.5, -0.5, 0, 0, 0, 0])


def test_a_missing_reward_counts_in_no_mean_and_gets_no_advantage() -> None:
    values = [float("nan"), 0.2, 0.6, float("nan")]
    found = group_advantage(values, ["a"] * 4)
    assert found.tolist() == pytest.approx([0, -(0.5**0.5), 0.5**0.5, 0], abs=1e-4)
    assert group_advantage([float("nan"), 0.5], ["a", "a"]).tolist() == [0, 0], "one alone has nothing to compare with"


def test_rewards_are_normalised_apart() -> None:
    """Of two right answers in character and out of it, the sum of rewards hardly tells; GDPO does."""
    nan = float("nan")
    right, style = [1.0, 1.0, 0.0, 0.0], [0.9, 0.8, nan, nan]
    found = gdpo_advantage([(1.0, right), (1.0, style)], ["a"] * 4)
    assert found[0] > found[1] > 0 > found[2] == found[3]
    summed = group_advantage([r + (0 if s != s else s) for r, s in zip(right, style, strict=True)], ["a"] * 4)
    assert (found[0] - found[1]) / found.std() > 3 * (summed[0] - summed[1]) / summed.std()


def test_a_group_of_wrong_answers_has_no_advantage_whatever_their_style() -> None:
    nan = float("nan")
    right = [0.0] * 4 + [1.0, 0.0, 1.0, 1.0]
    style = [nan] * 4 + [0.9, nan, 0.1, 0.5]
    found = gdpo_advantage([(1.0, right), (1.0, style)], ["wrong"] * 4 + ["mixed"] * 4)
    assert found[:4].tolist() == [0.0] * 4
    assert found[4:].std() > 0
    shaped = group_advantage([0.9, 0.1, 0.5, 0.2], ["wrong"] * 4)
    assert shaped.std() > 0.5, "negative control: style that is not gated"
