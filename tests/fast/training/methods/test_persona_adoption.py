"""The advantage of persona adoption: among right answers alone, and apart from the verdict's."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from permix_verl.errors import UserError
from permix_verl.training.methods.persona_adoption import PersonaAdoption
from permix_verl.training.observability.persona_metrics import Rollout

from ....support.extension_runs import rollouts_of, run_with


def styled(verdicts: Sequence[float], styles: Sequence[float | None], row: str = "row/0") -> list[Rollout]:
    return [replace(one, style=style) for one, style in zip(rollouts_of("chef", verdicts, row), styles, strict=True)]


def test_of_right_answers_the_one_in_character_is_preferred() -> None:
    adoption = PersonaAdoption(run_with(style="markers"))
    rollouts = styled([1, 1, 1, 0], [1.0, 0.0, None, None])
    found = adoption.advantages(1, rollouts)
    assert found[0] > found[2] > found[1] > found[3]


def test_a_policy_that_is_in_character_and_wrong_learns_nothing() -> None:
    """Scripted: every answer is wrong; a style that the reward failed to gate is not used either."""
    adoption = PersonaAdoption(run_with(style="markers"))
    wrong = styled([0, 0, 0, 0], [1.0, 0.5, 0.0, 1.0])
    assert list(adoption.advantages(1, wrong)) == [0.0] * 4
    mixed = [*wrong, *styled([1, 1, 0, 0], [1.0, 0.5, None, None], "row/1")]
    found = adoption.advantages(1, mixed)
    assert list(found[:4]) == [0.0] * 4
    assert np.std(found[4:]) > 0


def test_solved_groups_still_teach_style() -> None:
    adoption = PersonaAdoption(run_with(style="markers"))
    found = adoption.advantages(1, styled([1, 1, 1, 1], [1.0, 0.5, 0.5, 0.0]))
    assert found[0] > found[1] == found[2] > found[3]


def test_the_weight_scales_style_against_verdicts() -> None:
    rollouts = styled([1, 1, 1, 0], [1.0, 0.0, 0.5, None])

    def gap(weight: float) -> float:
        found = PersonaAdoption(run_with(style="markers", style_weight=weight)).advantages(1, rollouts)
        return (found[0] - found[1]) / (found[2] - found[3])

    assert gap(0.1) < gap(0.5) < gap(2)


def test_the_mean_style_and_the_missing_ones_are_logged() -> None:
    adoption = PersonaAdoption(run_with(style="markers"))
    metrics = adoption.on_rollouts(1, styled([1, 1, 1, 0], [1.0, 0.5, None, None]))
    assert metrics == {"reward/style": 0.75, "reward/style_missing_rate": pytest.approx(1 / 3)}
    assert adoption.on_rollouts(1, styled([0, 0], [None, None])) == {}


def test_a_scorer_that_gives_no_style_at_all_ends_the_run() -> None:
    run = run_with(style="markers")
    causes: list[str] = []
    adoption = PersonaAdoption(replace(run, report=causes.append))
    with pytest.raises(UserError, match="none of the 8 right answers of step 4 has a style"):
        adoption.on_rollouts(4, styled([1] * 8, [None] * 8))
    assert causes
    adoption.on_rollouts(4, styled([1] * 8, [None] * 7 + [0.5]))  # some have none: reported, no error
    adoption.on_rollouts(4, styled([1] * 7 + [0], [None] * 8))  # too few to tell


def test_a_weight_that_is_not_positive_is_refused() -> None:
    with pytest.raises(UserError, match=r"permix.style_weight=0; give more than 0"):
        PersonaAdoption(run_with(style="markers", style_weight=0))
