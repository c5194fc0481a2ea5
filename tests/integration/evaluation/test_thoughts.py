"""Thoughts in an evaluation: what is scored, counted, rescored and reported, and the settings of an engine."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from permix_verl import load_pool
from permix_verl.chat_templates.reading import Reading
from permix_verl.cli import report
from permix_verl.evaluation.generate import generate_missing
from permix_verl.evaluation.rescore import rescore
from permix_verl.evaluation.results import load_results
from permix_verl.evaluation.sample_store import SampleStore
from permix_verl.evaluation.sampling_plan import MissingSamples, Plan, TaskPlan
from permix_verl.evaluation.scoring import Scorer
from permix_verl.evaluation.tasks import EvalProblem, Task, boxed_gold, score_math
from permix_verl.inference.engine_config import DEFAULT_TEMPLATE_KWARGS, EngineConfig
from permix_verl.inference.engines import Completion, Request, Sampling
from permix_verl.inference.judges.config import Judge, read_judge
from permix_verl.inference.judges.replies import read_score
from permix_verl.lab.base_model import MODEL
from permix_verl.personas.prompts import Message

from ...support.template_tokenizers import own_template

CONDITIONS = [*load_pool("eval").personas[:2], None]
PROBLEMS = [EvalProblem(f"sums/{n}", f"{n} + 1 = ?", str(n + 1)) for n in range(3)]
OUTPUTS = ["I add one.\n</think>\n\n\\boxed{1}", "It may be \\boxed{2}, but", "So.</think>\\boxed{3}"]
"""A thought and an answer; a thought that was cut off, with a right answer inside; a thought and an answer."""
TASK = Task("sums", "-", 8, lambda source: PROBLEMS, lambda problem: problem.question, score_math, boxed_gold)


class Thinker:
    """An engine that thinks."""

    def __init__(self) -> None:
        self.waiting: list[Request] = []

    def check_lengths(self, prompts: Sequence[str], max_tokens: int) -> None:
        """Take any length."""

    def room(self) -> int:
        return 4

    def submit(self, requests: Sequence[Request]) -> None:
        self.waiting += requests

    def collect(self) -> list[Completion]:
        done, self.waiting = self.waiting, []
        return [
            Completion(request.key, OUTPUTS[int(request.messages[-1]["content"][0])], "stop", 9, 9) for request in done
        ]

    def close(self) -> None:
        """Do nothing."""


def evaluated(folder: Path, end: str, reading: Reading | None = None, **settings: Any) -> Path:
    """Evaluate the thinker with prompts that end so."""

    def render(messages: Sequence[Message]) -> str:
        return "|".join(message["content"] for message in messages) + end

    store = SampleStore(folder)
    with store.writing():
        fixed = {"model": {"name": "table", "fingerprint": "t"}, "adapter": None, "tasks": {"sums": {"problems": 3}}}
        wanted = {"arms": [condition.key if condition else "no_persona" for condition in CONDITIONS], "runs": 1}
        store.begin(fixed | settings, {"sums": wanted})
        entry = TaskPlan(TASK, PROBLEMS, Sampling(0.6, 0.9, 0, 8))
        plan = Plan(fixed["model"], [entry], CONDITIONS, 1, 0, render)  # type: ignore[arg-type]
        scorer = Scorer(1)
        try:
            generate_missing(MissingSamples(plan, store), Thinker(), scorer, reading)
        finally:
            scorer.close()
    return folder


def test_a_thought_that_was_cut_off_is_no_answer(tmp_path: Path) -> None:
    folder = evaluated(tmp_path / "open", "<|assistant|><think>\n")
    (found,) = load_results(folder)
    assert found.correct_PRN.tolist() == [[[1.0, 0.0, 1.0]]] * 2
    counts = found.status_counts["no_persona"]
    assert (counts.correct, counts.no_answer, counts.truncated_thoughts) == (2, 1, 1)
    out = tmp_path / "report"
    report.main([str(folder), "--out", str(out), "--draws", "200"])
    assert "thought cut off (%)" in (out / "report.md").read_text()
    (condition, *_) = json.loads((out / "report.json").read_text())["tasks"]["sums"]["models"]["open"]["personas"]
    assert condition["truncated_thoughts"] == pytest.approx(1 / 3)


def test_without_an_open_thought_the_answer_in_it_counts_and_nothing_is_reported(tmp_path: Path) -> None:
    folder = evaluated(tmp_path / "plain", "<|assistant|>")
    (found,) = load_results(folder)
    assert found.correct_PRN.tolist() == [[[1.0, 1.0, 1.0]]] * 2
    assert not found.has_truncated_thoughts
    out = tmp_path / "report"
    report.main([str(folder), "--out", str(out), "--draws", "200"])
    assert "thought cut off" not in (out / "report.md").read_text()
    assert "truncated_thoughts" not in (out / "report.json").read_text()


def test_rescoring_reads_as_the_evaluation_did(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from permix_verl.evaluation import rescore as module

    monkeypatch.setattr(module, "find_task", lambda name: TASK)
    folder = evaluated(tmp_path / "open", "<|assistant|><think>\n")
    assert rescore(folder)["sums"].changed == 0
    marks = Reading((("So.", "</so>"),))
    other = evaluated(tmp_path / "marks", "<|assistant|>", marks, thinking=marks.settings())
    assert rescore(other)["sums"].changed == 0


def model_with(folder: Path, name: str) -> str:
    made = Path(shutil.copytree(MODEL, folder / name))
    (made / "chat_template.jinja").write_text(own_template(name))
    return str(made)


def test_the_settings_of_an_engine_that_does_not_think_are_those_of_before(tmp_path: Path) -> None:
    engine = EngineConfig(model_with(tmp_path, "own_turn"))
    assert engine.local_template_kwargs == DEFAULT_TEMPLATE_KWARGS
    assert engine.template_settings() == {}
    assert engine.reading() == Reading()
    assert EngineConfig("served", base_url="http://x/v1").local_template_kwargs == DEFAULT_TEMPLATE_KWARGS


def test_an_engine_that_thinks(tmp_path: Path) -> None:
    engine = EngineConfig(model_with(tmp_path, "thinking_budget"), thinking="on")
    assert engine.local_template_kwargs == {**DEFAULT_TEMPLATE_KWARGS, "enable_thinking": True}
    assert engine.template_settings() == {
        "thinking": {"marks": [["<seed:think>", "</seed:think>"]], "cut_at_limit": False}
    }
    off = EngineConfig(engine.model)
    assert off.local_template_kwargs == {**DEFAULT_TEMPLATE_KWARGS, "thinking_budget": 0}
    served = EngineConfig("served", base_url="http://x/v1", thinking="on")
    assert served.local_template_kwargs["enable_thinking"] is True
    assert served.reading() == Reading(cut_at_limit=True)


def test_a_local_model_renders_with_its_adapted_template(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    persona = CONDITIONS[0]
    engine = EngineConfig(model_with(tmp_path, "drops_system"))
    render = engine.renderer("eval", CONDITIONS)
    assert render is not None
    assert persona is not None
    messages = [{"role": "system", "content": persona.system_prompt}, {"role": "user", "content": "1 + 1 = ?"}]
    assert f"{persona.system_prompt}\n\n1 + 1 = ?" in render(messages)
    assert "drops the system message: personas stand in the user's turn" in capsys.readouterr().out


def test_judges_take_the_same_settings(tmp_path: Path) -> None:
    plain = Judge(model_with(tmp_path, "refuses_system"))
    assert "thinking" not in plain.identity()
    render = plain.renderer()
    assert render is not None
    assert "[ASK] Be fair.\n\nWho?" in render(
        [{"role": "system", "content": "Be fair."}, {"role": "user", "content": "Who?"}]
    )
    thinking = read_judge(json.dumps({"model": "a", "base_url": "http://x/v1", "thinking": "on"}))
    assert thinking.identity()["thinking"] == "on"
    with pytest.raises(ValueError, match="thinking is 'yes'; known: off, on"):
        read_judge(json.dumps({"model": "a", "thinking": "yes"}))
    assert read_score('Hm, {"score": 1}.</think>\n{"reason": "in role", "score": 4}', "stop", 1, 5) == ("scored", 4)
