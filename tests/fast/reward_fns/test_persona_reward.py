"""The reward for persona adoption: right answers alone have a style, and a scorer's failure is none."""

import math
import sys
from types import ModuleType

import pytest

from permix_verl.reward_fns import persona_reward
from permix_verl.reward_fns.math_reward import compute_score as accuracy
from permix_verl.reward_fns.persona_reward import compute_score, load_scorer

CHEF = {"persona": "chef", "row_id": "r/1", "split": "train", "question": "What is 9 + 9?"}
IN_CHARACTER = "Sizzling! 9+9=18. The answer is \\boxed{18}. Delicious!"


def scorer(monkeypatch: pytest.MonkeyPatch, value: float | Exception | None) -> str:
    """Make a scorer that gives a value, or fails; return its place."""

    class Scorer:
        async def score(self, persona: str, question: str, solution: str) -> float | None:
            if isinstance(value, Exception):
                raise value
            return value

    module = ModuleType("scorer_under_test")
    module.Scorer = Scorer  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "scorer_under_test", module)
    monkeypatch.setattr(persona_reward, "_scorers", {})
    return "scorer_under_test:Scorer"


def test_markers_score_the_voice_of_right_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(persona_reward, "_scorers", {})
    from permix_verl.lab.styles import style_of

    style = style_of("chef")
    full = f"{style.opening} 9+9=18. The answer is \\boxed{{18}}. {style.closing}"
    half = f"{style.opening} 9+9=18. The answer is \\boxed{{18}}."
    assert [compute_score("lab", text, "18", CHEF)["style"] for text in (full, half)] == [1.0, 0.5]
    assert math.isnan(compute_score("lab", full, "18", {**CHEF, "persona": "somebody"})["style"])


def test_a_wrong_answer_in_character_scores_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    place = scorer(monkeypatch, 1.0)
    for solution in ("Sizzling! The answer is \\boxed{17}. Delicious!", "Sizzling, delicious!", ""):
        result = compute_score("lab", solution, "18", CHEF, style=place, weight=5)
        assert (result["score"], result["acc"], result["style_error"]) == (0.0, 0.0, 0.0)
        assert math.isnan(result["style"])


def test_the_weight_counts_in_the_score_of_right_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    place = scorer(monkeypatch, 0.4)
    result = compute_score("lab", IN_CHARACTER, "18", CHEF, style=place, weight=0.5)
    assert (result["score"], result["acc"], result["style"]) == (pytest.approx(1.2), 1.0, 0.4)
    assert compute_score("lab", IN_CHARACTER, "18", CHEF, style=place)["score"] == 1.0


@pytest.mark.parametrize(("value", "failed"), [(RuntimeError("no answer from the judge"), 1.0), (None, 0.0)])
def test_where_the_scorer_fails_there_is_no_style_and_never_a_zero(
    monkeypatch: pytest.MonkeyPatch, value: Exception | None, failed: float, capsys: pytest.CaptureFixture[str]
) -> None:
    place = scorer(monkeypatch, value)
    result = compute_score("lab", IN_CHARACTER, "18", CHEF, style=place, weight=1)
    assert math.isnan(result["style"])
    assert (result["score"], result["style_error"]) == (1.0, failed)
    assert ("no style of row r/1" in capsys.readouterr().err) == bool(failed)


def test_the_verdict_is_that_of_the_persona_blind_reward(monkeypatch: pytest.MonkeyPatch) -> None:
    place = scorer(monkeypatch, 0.4)
    for solution in (IN_CHARACTER, "#### 17", "nothing"):
        plain = accuracy("lab", solution, "18", CHEF)
        result = compute_score("lab", solution, "18", CHEF, style=place)
        assert {name: result[name] for name in plain} == plain


def test_validation_and_rows_without_a_persona_have_no_style(monkeypatch: pytest.MonkeyPatch) -> None:
    place = scorer(monkeypatch, 0.4)
    assert "style" not in compute_score("lab", IN_CHARACTER, "18", {**CHEF, "split": "val"}, style=place)
    without = compute_score("lab", IN_CHARACTER, "18", {**CHEF, "persona": "no_persona"}, style=place, weight=1)
    assert math.isnan(without["style"])
    assert without["score"] == 1.0


def test_an_unknown_scorer_is_an_error_that_names_the_known_ones() -> None:
    for style, settings in (("charm", {}), ("permix_verl.lab.marker_style:Charm", {}), ("markers", {"loud": True})):
        with pytest.raises(ValueError, match=r"cannot be scored.*known: markers, likelihood, MODULE:CLASS"):
            load_scorer(style, settings)
