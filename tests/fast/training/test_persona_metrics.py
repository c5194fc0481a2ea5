"""Metrics of a step: per persona, and of rollouts that the reward could not score."""

import pytest

from permix_verl import load_pool
from permix_verl.training.observability.persona_metrics import Rollout, persona_metrics, zero_variance_fraction

POOL = load_pool("train").personas


def group(uid: str, persona: str, rewards: list[float], mark: str | None = None, **flags: float) -> list[Rollout]:
    return [
        Rollout(
            key=f"{uid}_{sample}_0",
            uid=uid,
            sample=sample,
            row_id=uid,
            epoch=0,
            persona=persona,
            reward=reward,
            tokens=10,
            flags={"no_answer": 0.0, "timeout": 0.0, "error": 0.0} | flags,
            status="correct" if reward else "wrong",
            mark=mark,
        )
        for sample, reward in enumerate(rewards)
    ]


ROLLOUTS = [
    *group("a", "chef", [1, 0, 0, 0]),
    *group("b", "chef", [1, 1, 1, 1]),
    *group("c", "zen master", [0, 0, 0, 0], no_answer=1.0),
    *group("d", "no_persona", [0, 1, 0, 1]),
]


def test_counts_of_all_personas_sum_to_the_rollouts() -> None:
    metrics = persona_metrics(ROLLOUTS, POOL, no_persona=True)
    counts = {name: value for name, value in metrics.items() if name.endswith("/rollouts")}
    assert len(counts) == 26
    assert sum(counts.values()) == len(ROLLOUTS)
    assert counts["persona/chef/rollouts"] == 8
    assert counts["persona/zen_master/rollouts"] == 4
    assert counts["persona/farmer/rollouts"] == 0


def test_reward_and_groups_without_variance_per_persona() -> None:
    metrics = persona_metrics(ROLLOUTS, POOL, no_persona=True)
    assert metrics["persona/chef/reward"] == 5 / 8
    assert metrics["persona/chef/zero_variance_groups"] == 0.5
    assert metrics["persona/no_persona/zero_variance_groups"] == 0
    assert metrics["reward/zero_variance_groups"] == 0.5
    assert metrics["reward/no_answer_rate"] == 0.25
    assert metrics["reward/timeout_rate"] == metrics["reward/error_rate"] == 0
    assert "persona/farmer/reward" not in metrics, "no rollouts, no mean"


def test_a_reward_without_flags_gives_no_rates() -> None:
    plain = [Rollout("a_0_0", "a", 0, "a", 0, "chef", 1.0, 3)]
    assert not [name for name in persona_metrics(plain, POOL) if name.endswith("_rate")]


def test_the_strict_rate_counts_correct_answers_in_a_closed_box_or_behind_a_hash() -> None:
    """12 rollouts: 3 are boxed and correct, 1 is behind #### and correct, 2 are correct by words."""
    rollouts = [
        *group("a", "chef", [1, 1, 1, 0], mark="boxed"),
        *group("b", "chef", [1, 0, 0, 0], mark="hash"),
        *group("c", "farmer", [1, 1, 0, 0], mark="phrase"),
    ]
    assert persona_metrics(rollouts, POOL)["reward/strict_rate"] == 4 / 12
    silent = group("d", "farmer", [0, 0, 0, 0], mark="")
    assert persona_metrics([*rollouts, *silent], POOL)["reward/strict_rate"] == 4 / 16, "no answer has no mark"


@pytest.mark.parametrize("marks", [(None, None), ("boxed", None)])
def test_a_reward_that_says_no_marks_gives_no_strict_rate(marks: tuple[str | None, str | None]) -> None:
    rollouts = [rollout for mark in marks for rollout in group("a", "chef", [1, 1], mark=mark)]
    assert "reward/strict_rate" not in persona_metrics(rollouts, POOL)


@pytest.mark.parametrize(("rewards", "fraction"), [([0, 0], 1.0), ([0, 1], 0.0), ([0.5, 0.5], 1.0)])
def test_a_group_has_no_variance_when_all_its_rewards_are_equal(rewards: list[float], fraction: float) -> None:
    assert zero_variance_fraction(group("a", "chef", rewards)) == fraction


def test_thoughts_that_were_cut_off_have_a_rate_where_the_reward_counts_them() -> None:
    thinking = [
        *group("a", "chef", [1, 0, 0, 0], truncated_thought=0.0),
        *group("b", "chef", [0, 0, 0, 0], no_answer=1.0, truncated_thought=1.0),
    ]
    metrics = persona_metrics(thinking, POOL)
    assert metrics["reward/truncated_thought_rate"] == metrics["reward/no_answer_rate"] == 0.5
    assert "reward/truncated_thought_rate" not in persona_metrics(ROLLOUTS, POOL)
