"""``permix likelihood``: answers of results folders under a checked base, resumed, reported, and refused."""

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from permix_verl.cli import report as report_command
from permix_verl.cli.likelihood import main
from permix_verl.errors import UserError
from permix_verl.fidelity.likelihood.analysis import analyse_likelihood
from permix_verl.fidelity.likelihood.scores import load_base, persona_log_likelihoods, prompt_log_likelihoods
from permix_verl.lab.base_model import MODEL
from permix_verl.lab.problems import generate, split_solution
from permix_verl.lab.styles import style_of, styled_completion
from permix_verl.personas.pool import Persona
from permix_verl.personas.prompts import build_messages
from permix_verl.seeding import derive_seed

from ...support.likelihood_folders import POOL, TASK, write_answers, write_check

ROWS = generate(8, "easy", "test")
QUESTIONS = [row["question"] for row in ROWS]


def in_character(persona: Persona, number: int) -> str:
    rng = random.Random(derive_seed("test", persona.key, number))
    return styled_completion(*split_solution(ROWS[number]["answer"]), style_of(persona.key), rng, voice=1.0)


def neutral(persona: Persona, number: int) -> str:
    return "" if (persona.key, number) == ("lawyer", 3) else f"The answer is {number}."


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """Answers in the lab's voices, answers without any, and the check; both scored by one command."""
    folder = tmp_path_factory.mktemp("likelihood")
    _, tokenizer = load_base(str(MODEL))
    loud = write_answers(folder / "loud", str(MODEL), tokenizer, QUESTIONS, in_character)
    flat = write_answers(folder / "flat", str(MODEL), tokenizer, QUESTIONS, neutral)
    check = write_check(folder / "check", str(MODEL))
    assert main([str(loud), str(flat), "--base", str(MODEL), "--check", str(check), "--problems", "8"]) == 0
    return loud, flat, check


def test_answers_in_character_are_identified_and_neutral_ones_are_not(folders: tuple[Path, Path, Path]) -> None:
    found = analyse_likelihood(folders[:2])
    loud, flat = (found.models[name].tasks[TASK] for name in ("loud", "flat"))
    assert loud.rate.estimate > 0.8
    assert (loud.answers, loud.personas, loud.problems, loud.chance) == (128, 16, 8, 1 / 16)
    assert flat.rate.estimate == pytest.approx(1 / 16, abs=0.07)
    assert (flat.answers, found.models["flat"].empty[TASK]) == (127, 1)
    (pair,) = found.pairs
    assert (pair.first, pair.second, pair.difference.answers) == ("flat", "loud", 127)
    assert pair.difference.rate.high is not None
    assert pair.difference.rate.high < 0


def test_scores_are_those_of_the_rendered_prompts(folders: tuple[Path, Path, Path]) -> None:
    rows = [json.loads(line) for line in (folders[0] / "likelihood" / "scores.jsonl").read_text().splitlines()]
    stored = {row["persona"]: row["nats"] for row in rows if row["problem"] == f"{TASK}/5"}
    model, tokenizer = load_base(str(MODEL))
    answers = [in_character(persona, 5) for persona in POOL]
    wanted = persona_log_likelihoods(model, tokenizer, build_messages(QUESTIONS[5], None), answers, list(POOL))
    assert np.array([stored[persona.key] for persona in POOL]) == pytest.approx(wanted, abs=1e-4)


def test_the_report_has_models_and_their_difference(folders: tuple[Path, Path, Path], tmp_path: Path) -> None:
    report_command.main([*map(str, folders[:2]), "--out", str(tmp_path), "--draws", "20"])
    section = (tmp_path / "report.md").read_text().split("## Persona fidelity by likelihood")[1].split("\n## ")[0]
    assert "| mine | loud |" in section
    assert "| mine | flat - loud |" in section
    assert r"50.0 \[40.0, 60.0\]" in section, "the check that the base passed"
    stored = json.loads((tmp_path / "report.json").read_text())["likelihood"]
    assert stored["models"]["flat"]["empty"] == {TASK: 1}
    assert "Persona fidelity by likelihood" in (tmp_path / "report.html").read_text()


def test_an_interrupted_command_goes_on_with_the_answers_that_are_missing(
    folders: tuple[Path, Path, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    scores = folders[0] / "likelihood" / "scores.jsonl"
    whole = scores.read_text().splitlines(keepends=True)
    scores.write_text("".join(whole[:100]) + whole[100][:30])  # a kill leaves a partial last line
    counted = []

    def count(model: Any, tokenizer: Any, prompts: Any, answers: Any) -> Any:
        counted.extend(answers)
        return prompt_log_likelihoods(model, tokenizer, prompts, answers)

    monkeypatch.setattr("permix_verl.fidelity.likelihood.run.prompt_log_likelihoods", count)
    command = [str(folders[0]), "--base", str(MODEL), "--check", str(folders[2]), "--problems", "8"]
    assert main(command) == 0
    assert len(counted) == 28
    after = [json.loads(line) for line in scores.read_text().splitlines()]
    before = [json.loads(line) for line in whole]
    assert [row["key"] for row in after] == [row["key"] for row in before]
    for one, other in zip(after, before, strict=True):
        assert one["nats"] == pytest.approx(other["nats"], abs=1e-4)
    assert main(command) == 0
    assert "loud: 0 answers scored" in capsys.readouterr().err


def test_a_base_that_did_not_pass_is_refused(folders: tuple[Path, Path, Path], tmp_path: Path) -> None:
    failed = write_check(tmp_path / "check", str(MODEL), usable=False)
    for check, said in (
        (failed, r"7\.0 % of the hand-written answers were identified.*no measure of fidelity"),
        (tmp_path / "none", "holds no finished check of a base; write one: permix likelihood-check --model"),
    ):
        with pytest.raises(UserError, match=said):
            main([str(folders[0]), "--base", str(MODEL), "--check", str(check)])


def test_the_check_of_another_base_is_refused(folders: tuple[Path, Path, Path]) -> None:
    teacher = str(MODEL.with_name("teacher"))
    with pytest.raises(UserError, match="holds the check of model, not of teacher as it is now"):
        main([str(folders[0]), "--base", teacher, "--check", str(folders[2])])


def test_scores_of_another_base_are_not_mixed_in(folders: tuple[Path, Path, Path], tmp_path: Path) -> None:
    teacher = str(MODEL.with_name("teacher"))
    check = write_check(tmp_path / "check", teacher)
    before = (folders[0] / "likelihood" / "scores.jsonl").read_text()
    with pytest.raises(UserError, match="holds results with base"):
        main([str(folders[0]), "--base", teacher, "--check", str(check), "--problems", "8"])
    assert (folders[0] / "likelihood" / "scores.jsonl").read_text() == before


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--tasks", "gsm8k"], "has no task gsm8k; it has mine"),
        (["--problems", "5"], "task mine: 16 personas and 5 problems; an interval needs 8 of each"),
        (["--problems", "0"], "--problems is 0"),
    ],
)
def test_unfit_options_are_refused(folders: tuple[Path, Path, Path], options: list[str], said: str) -> None:
    with pytest.raises(UserError, match=said):
        main([str(folders[0]), "--base", str(MODEL), "--check", str(folders[2]), *options])
