"""A mistyped ``--model`` of ``eval/run.py`` at an endpoint, and the right one in the same folder after it."""

import json
from pathlib import Path

import pytest

from permix_verl import UserError
from permix_verl.cli import eval as run
from permix_verl.evaluation.sample_store import SampleStore

from ...support.endpoint import Server, chat, refusal


def command(server: Server, folder: Path, model: str) -> list[str]:
    problems = folder / "problems.jsonl"
    rows = [{"question": f"Problem {number}", "answer": "#### 4"} for number in range(3)]
    problems.write_text("".join(json.dumps(row) + "\n" for row in rows))
    given = ["--base-url", server.url, "--model", model, "--tasks", f"gsm8k={problems}", "--runs", "1"]
    return [*given, "--personas", "eval:teacher,lawyer", "--out", str(folder / "results")]


def test_the_right_name_is_taken_after_a_mistyped_one(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.answer = lambda body, attempt: chat("4", prompt_tokens=None) if body["model"] == "served-a" else refusal(404)
    with pytest.raises(UserError, match="has no model 'serverd-a'"):
        run.main(command(server, tmp_path, "serverd-a"))
    assert run.main(command(server, tmp_path, "served-a")) == 0
    assert capsys.readouterr().out.count("held the settings of a run that made no sample") == 1
    store = SampleStore(tmp_path / "results")
    assert store.settings()["model"]["name"] == "served-a"
    assert len(list(store.samples("gsm8k"))) == 9
    # Negative control: where there are samples, another name is refused, and nobody is asked.
    seen = len(server.bodies)
    with pytest.raises(UserError, match=r"holds results with model .* give another --out"):
        run.main(command(server, tmp_path, "serverd-a"))
    assert len(server.bodies) == seen
