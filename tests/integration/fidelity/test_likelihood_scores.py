"""The likelihood of answers under personas' prompts, by the lab's model, and by SmolLM2 where it has been fetched."""

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from permix_verl import load_pool
from permix_verl.checkpoints.fetched import packaged_folder
from permix_verl.cli.likelihood_check import main
from permix_verl.errors import UserError
from permix_verl.fidelity.likelihood.known_texts import written_problems
from permix_verl.fidelity.likelihood.scores import load_base, persona_log_likelihoods
from permix_verl.lab import likelihood_check
from permix_verl.lab.base_model import MODEL
from permix_verl.lab.likelihood_check import GROUPS, known_answers
from permix_verl.personas.prompts import build_messages, render, with_persona

POOL = load_pool("eval")
CHAT = build_messages("Mia has 12 pears. She buys 5 more. How many pears does Mia have now?", None)
ANSWERS = ["12+5=17. The answer is 17.", "I say it is 4.", "Yes"]


@pytest.fixture(scope="module")
def base() -> tuple[Any, Any]:
    return load_base(str(MODEL))


@pytest.mark.parametrize("rows", [1, 4, 100])
def test_scores_are_the_means_of_the_tokens_log_probabilities(base: tuple[Any, Any], rows: int) -> None:
    import torch

    model, tokenizer = base
    conditions = [*POOL.personas[:3], None]
    scores = persona_log_likelihoods(model, tokenizer, CHAT, ANSWERS, conditions, rows=rows)
    assert scores.shape == (3, 4)
    for column, persona in enumerate(conditions):
        prompt = tokenizer(render(tokenizer, with_persona(CHAT, persona)), add_special_tokens=False)["input_ids"]
        for row, answer in enumerate(ANSWERS):
            ids = tokenizer(answer, add_special_tokens=False)["input_ids"]
            log_probs = model(torch.tensor([prompt + ids])).logits[0].log_softmax(-1)
            wanted = [log_probs[len(prompt) - 1 + place, token].item() for place, token in enumerate(ids)]
            assert scores[row, column] == pytest.approx(np.mean(wanted), abs=1e-4)


def test_the_persona_in_the_chat_is_replaced(base: tuple[Any, Any]) -> None:
    chat = with_persona(CHAT, POOL.personas[5])
    scores = [persona_log_likelihoods(*base, messages, ANSWERS, POOL.personas[:2]) for messages in (CHAT, chat)]
    assert (scores[0] == scores[1]).all()


def test_the_lab_model_hears_its_own_personas_voices(base: tuple[Any, Any]) -> None:
    answers = known_answers(GROUPS[1])[0]
    scores = persona_log_likelihoods(*base, CHAT, answers, list(POOL))
    assert (scores.argmax(1) == np.arange(16)).mean() > 0.8


def test_weights_and_chat_stay_as_they_were(base: tuple[Any, Any]) -> None:
    before = {name: weight.clone() for name, weight in base[0].state_dict().items()}
    chat = copy.deepcopy(CHAT)
    persona_log_likelihoods(*base, chat, ANSWERS, POOL.personas[:2])
    assert chat == CHAT
    assert all((weight == before[name]).all() for name, weight in base[0].state_dict().items())


def test_what_cannot_be_scored_is_refused(base: tuple[Any, Any]) -> None:
    with pytest.raises(UserError, match="answer '' has no token"):
        persona_log_likelihoods(*base, CHAT, ["17", ""], list(POOL))
    with pytest.raises(UserError, match="no persona to score under"):
        persona_log_likelihoods(*base, CHAT, ["17"], [])
    with pytest.raises(UserError, match="cannot load"):
        load_base("/no/such/folder")
    assert persona_log_likelihoods(*base, CHAT, [], list(POOL)).shape == (0, 16)


def test_the_lab_model_is_no_measure_of_words_that_it_has_never_met(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "new" / "likelihood"
    status = main(["--model", str(MODEL), "--out", str(out)])
    said = capsys.readouterr().out
    assert "160 answers in each group" in said
    assert status == (1 if "no measure under this base" in said else 0)
    assert '"usable": ' + ("false" if status else "true") in (out / "likelihood.json").read_text()
    rewriter = next(line for line in said.splitlines() if line.startswith("lab's rewriter"))
    assert float(rewriter.split("%")[0].split()[-1]) > 80


def test_an_interrupted_check_goes_on_and_another_model_is_refused(
    base: tuple[Any, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    computed = []

    def count(*arguments: Any) -> Any:
        computed.append(arguments)
        if len(computed) == 4:
            raise KeyboardInterrupt
        return persona_log_likelihoods(*arguments)

    monkeypatch.setattr(likelihood_check, "persona_log_likelihoods", count)
    with pytest.raises(KeyboardInterrupt):
        likelihood_check.score_group(*base, GROUPS[1], None, tmp_path)
    stopped = likelihood_check.score_group(*base, GROUPS[1], None, tmp_path)
    assert len(computed) == 4 + 7  # three problems were kept
    assert (stopped == likelihood_check.score_group(*base, GROUPS[1])).all()
    (tmp_path / "settings.json").write_text("{}")
    with pytest.raises(UserError, match="holds the scores of another model"):
        main(["--model", str(MODEL), "--out", str(tmp_path)])


@pytest.mark.skipif(not packaged_folder("smollm2").is_dir(), reason="permix fetch-model smollm2 has not been run")
def test_smollm2_recognises_who_wrote_by_hand() -> None:
    base = load_base(str(packaged_folder("smollm2")))
    problem = written_problems()[0]
    answers = [problem.written[persona.key] for persona in POOL]
    scores = persona_log_likelihoods(*base, build_messages(problem.question, None), answers, list(POOL))
    assert (scores.argmax(1) == np.arange(16)).mean() > 1 / 16
