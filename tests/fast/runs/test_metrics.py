"""Metrics of a run: merging launches, validation by persona, rollout mismatch."""

import json
import math
from pathlib import Path

import pytest

from permix_verl.runs import metrics as m
from permix_verl.runs.folder import RunFolder
from permix_verl.runs.persona_validation import ValidationPersonas
from permix_verl.training.observability.curves import plot_curves
from permix_verl.training.progress import Progress
from permix_verl.training.run_checks import agreement_problems


def write(file: Path, *records: tuple[int, dict[str, float]], tail: str = "") -> None:
    file.write_text("".join(json.dumps({"step": step, "data": data}) + "\n" for step, data in records) + tail)


def step(reward: float, agreement: float = 0.999) -> dict[str, float]:
    return {m.REWARD: reward, m.LENGTH: 20.0, m.KL: 0.01, m.ROLLOUT_ACTOR_CORR: agreement, m.STEP_SECONDS: 9.0}


VALIDATION = {
    "val-core/gsm8k/chef/acc/mean@1": 0.25,
    "val-core/gsm8k/zen_master/acc/mean@1": 0.75,
    "val-core/gsm8k/no_persona/acc/mean@1": 0.5,
    "val-aux/gsm8k/chef/reward/mean@1": 0.9,
}


def test_launches_merge_and_the_later_one_wins(tmp_path: Path) -> None:
    write(tmp_path / "20260101T000000.jsonl", (0, VALIDATION), (1, step(0.1)), (2, step(0.2)))
    write(tmp_path / "20260101T010000.jsonl", (2, step(0.3)), (3, step(0.4)), tail='{"step": 4, "da')
    found = m.read_metrics(tmp_path)
    assert list(found) == [0, 1, 2, 3]
    assert [values[m.REWARD] for values in m.training_steps(found).values()] == [0.1, 0.3, 0.4]


def test_what_a_launch_saw_beyond_the_checkpoint_that_the_next_one_began_with_does_not_count(tmp_path: Path) -> None:
    """Steps 3 and 4 are retrained; so far only step 3 is, and it is not validated yet."""
    write(
        tmp_path / "20260101T000000.jsonl", (1, step(0.1)), (2, step(0.2)), (3, step(0.3) | VALIDATION), (4, step(0.4))
    )
    write(tmp_path / "20260101T010000.jsonl", (2, VALIDATION), (3, step(0.5)))
    found = m.read_metrics(tmp_path)
    assert {number: values[m.REWARD] for number, values in found.items()} == {1: 0.1, 2: 0.2, 3: 0.5}
    assert [number for number, values in found.items() if m.validation_accuracy(values)] == [2]


def test_a_personas_accuracy_is_the_mean_over_its_sources_by_their_problems() -> None:
    values = {"val-core/math/chef/acc/mean@1": 0.0, "val-core/mine/chef/acc/mean@1": 1.0}
    assert m.validation_accuracy(values) == {"chef": 0.5}
    assert m.validation_accuracy(values, {"math": 3, "mine": 1}) == {"chef": 0.25}


def test_validation_accuracy_is_by_persona() -> None:
    assert m.validation_accuracy(VALIDATION) == {"chef": 0.25, "zen_master": 0.75, "no_persona": 0.5}


@pytest.mark.parametrize("agreement", [0.98, -0.2, math.nan])
def test_a_step_whose_rollouts_disagree_is_a_problem(agreement: float) -> None:
    good = {1: step(0.1), 2: step(0.1)}
    assert agreement_problems(good, 0.99) == []
    problems = agreement_problems(good | {3: step(0.1, agreement), 4: step(0.1)}, 0.99)
    assert len(problems) == 1
    assert "disagree at 1 of 4 steps, first at step 3" in problems[0]


def test_a_step_without_an_agreement_figure_is_a_problem() -> None:
    assert agreement_problems({1: {m.REWARD: 0.5}}, 0.99)


def test_a_run_without_metrics_is_a_problem() -> None:
    assert agreement_problems({}, 0.99)
    assert agreement_problems({0: VALIDATION}, 0.99)


def test_progress_shows_each_step_once_and_warns_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = RunFolder(tmp_path)
    folder.metrics.mkdir()
    bad = step(0.25, 0.5) | {"reward/error_rate": 0.03, m.ADAPTER_NORM_RATIO: 0.5}
    progress = Progress(folder, tmp_path / "log", total=3, min_agreement=0.99)
    progress.begin(0)
    write(folder.metrics / "a.jsonl", (0, VALIDATION), (1, step(0.125)), (2, bad))
    progress.update()
    progress.update()
    shown = capsys.readouterr().out
    assert shown.count("   1/3 ") == 1
    assert "0.125" in shown
    assert "worst 0.250 (chef), best 0.750 (zen_master), PSS 0.333, no persona 0.500" in shown
    assert "rollout and actor disagree: correlation 0.500 < 0.99" in shown
    assert "! the rollout engine holds another adapter (50.0% of the trained one)" in shown
    assert "! 3.0% of the rewards ended in error, and counted as 0" in shown


def test_steps_that_are_trained_again_are_shown_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = RunFolder(tmp_path)
    folder.metrics.mkdir()
    write(folder.metrics / "1.jsonl", *[(n, step(0.1)) for n in range(1, 6)])
    progress = Progress(folder, tmp_path / "log", total=9, min_agreement=0.99)
    progress.begin(done=2)
    progress.update()
    assert "3/9" not in capsys.readouterr().out, "logged by the launch before, and not trained again yet"
    write(folder.metrics / "2.jsonl", (3, step(0.5)))
    progress.update()
    shown = capsys.readouterr().out
    assert "3/9" in shown
    assert "4/9" not in shown
    assert "0.500" in shown
    assert "   2/9" not in shown


def test_the_figure_is_a_png_and_leaves_no_partial_file(tmp_path: Path) -> None:
    out = plot_curves(
        {0: VALIDATION, 1: step(0.1), 2: step(0.2)}, tmp_path / "curves.png", "x", 0.99, ValidationPersonas()
    )
    assert out.read_bytes().startswith(b"\x89PNG")
    assert [file.name for file in tmp_path.iterdir()] == ["curves.png"]
