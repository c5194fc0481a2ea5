"""A run without a learning signal is reported from its fifth step on, and fails its checks."""

import json
from pathlib import Path
from typing import Any

import pytest

from permix_verl.runs import metrics as m
from permix_verl.runs.folder import RunFolder
from permix_verl.training import run_checks
from permix_verl.training.guards.learning_signal import MIN_STEPS, diagnose_no_signal
from permix_verl.training.launch_settings import LaunchSettings
from permix_verl.training.progress import Progress
from permix_verl.training.run_checks import CHECK_FAILED, check_run, learning_problems

from ...support.configs import bare_of


def step(reward: float, low: float | None = None, high: float | None = None, **rates: float) -> dict[str, float]:
    values = {m.REWARD: reward, m.ROLLOUT_ACTOR_CORR: 1.0, m.TRUNCATED: 0.25, m.STEP_SECONDS: 1.0}
    bounds = {m.REWARD_MIN: reward if low is None else low, m.REWARD_MAX: reward if high is None else high}
    return values | bounds | {f"reward/{flag}_rate": rates.get(flag, 0.0) for flag in ("no_answer", "timeout", "error")}


def run_of(count: int, *args: float, **rates: float) -> m.Metrics:
    return {number: step(*args, **rates) for number in range(1, count + 1)}


MIXED = step(0.5, 0.0, 1.0)


@pytest.mark.parametrize(
    ("metrics", "head", "cause"),
    [
        (run_of(5, 0.0), "every reward of all 5 steps is 0:", "wrong gold answers or data"),
        (run_of(5, 0.0), "every reward", "truncates the completions (25% of the responses are at the limit)"),
        (run_of(7, 1.0), "every reward of all 7 steps is 1:", "too easy"),
        (run_of(5, 0.1), "every reward of all 5 steps is 0.1:", "ignores the answer"),
        (run_of(5, 0.0, no_answer=1.0), "no answer could be read in 100.0%", "an answer mark that the prompt asks for"),
        (run_of(5, 0.02, 0.0, 1.0, no_answer=0.97), "no answer could be read in 97.0%", "response length"),
        (run_of(5, 0.0, timeout=1.0), "the reward ran out of time in 100.0%", "CPUs"),
        (run_of(5, 0.0, error=0.9, no_answer=0.1), "the reward failed in 90.0%", "gold answers that it cannot read"),
    ],
)
def test_equal_rewards_or_unread_completions_are_no_signal(metrics: m.Metrics, head: str, cause: str) -> None:
    message = diagnose_no_signal(metrics)
    assert message is not None
    assert message.startswith(f"nothing to learn from, {head}")
    assert cause in message
    assert "\n" not in message


@pytest.mark.parametrize(
    "metrics",
    [
        {},
        {0: {"val-core/gsm8k/chef/acc/mean@1": 0.0}},
        {1: {m.LOSS: 0.0}, 2: {m.LOSS: 0.0}},
        run_of(5, 0.0) | {6: MIXED},
        run_of(5, 1.0) | {6: MIXED},
        {1: step(0.0), 2: step(1.0)},
        run_of(5, 0.4, 0.0, 1.0, no_answer=0.6),
        # The model learns late to write what can be read.
        run_of(95, 0.0, no_answer=1.0) | dict.fromkeys(range(96, 101), MIXED),
        # One right answer of many, and a mean that is a whole number by chance.
        run_of(5, 0.001, 0.0, 1.0),
        run_of(5, 0.0, -1.0, 1.0),
        {number: {m.REWARD: 0.0, "reward/zero_variance_groups": 0.5} for number in range(1, 6)},
    ],
)
def test_a_run_with_a_signal_or_without_rewards_passes(metrics: m.Metrics) -> None:
    assert diagnose_no_signal(metrics) is None


def test_without_bounds_a_mean_of_zero_and_equal_groups_tell() -> None:
    assert diagnose_no_signal({1: {m.REWARD: 0.0, "reward/zero_variance_groups": 1.0}})


def test_below_five_steps_it_is_a_remark(capsys: pytest.CaptureFixture[str]) -> None:
    assert learning_problems(run_of(MIN_STEPS - 1, 0.0)) == []
    assert "remark    nothing to learn from, every reward of all 4 steps is 0" in capsys.readouterr().out
    assert len(learning_problems(run_of(MIN_STEPS, 0.0))) == 1
    assert learning_problems({1: MIXED}) == []
    assert capsys.readouterr().out == ""


def log(folder: RunFolder, metrics: m.Metrics) -> None:
    folder.metrics.mkdir(exist_ok=True)
    lines = [json.dumps({"step": number, "data": values}) + "\n" for number, values in metrics.items()]
    (folder.metrics / "a.jsonl").write_text("".join(lines))


@pytest.mark.parametrize(("values", "said"), [(step(0.0, no_answer=1.0), 1), (step(1.0), 1), (MIXED, 0)])
def test_progress_says_it_once_from_the_fifth_step_on(
    tmp_path: Path, values: dict[str, float], said: int, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = RunFolder(tmp_path)
    folder.metrics.mkdir()
    progress = Progress(folder, tmp_path / "log", total=9, min_agreement=0.99)
    progress.begin(0)
    counts = []
    for last in range(1, 8):
        log(folder, dict.fromkeys(range(1, last + 1), values))
        progress.update()
        counts.append(capsys.readouterr().out.count("! nothing to learn from, "))
    assert counts == [0, 0, 0, 0, said, 0, 0]


def concluded(folder: Path, metrics: m.Metrics, monkeypatch: pytest.MonkeyPatch) -> tuple[int, Any]:
    """Conclude a run with a correct adapter."""
    run = RunFolder(folder)
    log(run, metrics)
    monkeypatch.setattr(run_checks, "checkpoint_to_export", lambda run: folder)
    monkeypatch.setattr(run_checks, "export_and_check", lambda *given: (None, []))
    settings = bare_of(
        {
            "trainer.v1.sampler.sampler_kwargs.min_agreement": 0.99,
            "permix.check.tolerance": 1e-4,
            "permix.title": "x",
            "permix.profile": "cpu",
            "actor_rollout_ref.model.path": "m",
        }
    )
    status = check_run(run, LaunchSettings(settings, "the next one"), len(metrics))
    return status, json.loads(run.run_checks.read_text())


def test_a_run_whose_answers_cannot_be_read_ends_with_the_status_of_a_failed_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    status, written = concluded(tmp_path, run_of(5, 0.0, no_answer=1.0), monkeypatch)
    said = capsys.readouterr()
    assert status == CHECK_FAILED == 3
    share = "100.0% of the rollouts of all 5 steps (no_answer)"
    assert f"checks    FAILED: nothing to learn from, no answer could be read in {share}\n" in said.out
    assert "verified" not in said.out
    assert "next:" not in said.out
    assert said.err.startswith("CHECK FAILED: nothing to learn from, no answer could be read")
    assert len(written["problems"]) == 1


@pytest.mark.parametrize("metrics", [run_of(5, 0.0) | {6: MIXED}, run_of(3, 0.0, no_answer=1.0)])
def test_a_run_with_a_lesson_or_of_few_steps_ends_well(
    metrics: m.Metrics, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    status, written = concluded(tmp_path, metrics, monkeypatch)
    said = capsys.readouterr().out
    assert status == 0
    assert written["problems"] == []
    assert "checks    rollout and actor agree at every step (least 1.00000); adapter verified" in said
    assert ("remark    nothing to learn from" in said) == (len(metrics) < MIN_STEPS)
    assert "next: the next one" in said
