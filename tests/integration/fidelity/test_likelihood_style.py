"""Style by likelihood as a reward: the lab's voices under its base, comparisons that are fixed, and refusals."""

import asyncio

import pytest

from permix_verl import load_pool
from permix_verl.errors import UserError
from permix_verl.fidelity.likelihood.scores import load_base, persona_log_likelihoods
from permix_verl.fidelity.likelihood.style import LikelihoodStyle
from permix_verl.lab.base_model import MODEL
from permix_verl.lab.styles import style_of
from permix_verl.personas.prompts import build_messages
from permix_verl.reward_fns.persona_reward import compute_score
from permix_verl.statistics.identification import log_ratio

QUESTION = "Mia has 12 pears. She buys 5 more. How many pears does Mia have now?"
INFO = {"persona": "chef", "row_id": "r/1", "split": "train", "question": QUESTION}
SETTINGS = {"base": str(MODEL), "others": 5}


def voiced(persona: str) -> str:
    style = style_of(persona)
    return f"{style.opening} 12+5=17. The answer is \\boxed{{17}}. {style.closing}"


def test_an_answer_in_its_own_voice_is_likelier_than_one_in_anothers() -> None:
    scores = [
        compute_score("lab", voiced(key), "17", INFO, style="likelihood", style_settings=SETTINGS)["style"]
        for key in ("chef", "lawyer")
        if key in load_pool("train").keys or key == "lawyer"
    ]
    assert scores[0] > 0 > scores[1]


def test_the_score_is_the_ratio_against_the_same_other_personas() -> None:
    scorer = LikelihoodStyle(**SETTINGS)  # type: ignore[arg-type]
    personas = scorer.personas("chef", QUESTION)
    assert [persona.key for persona in personas] == [persona.key for persona in scorer.personas("chef", QUESTION)]
    assert personas[0].key == "chef"
    assert len({persona.key for persona in personas}) == 6
    other_question = scorer.personas("chef", "What is 2 + 2?")
    assert [persona.key for persona in personas] != [persona.key for persona in other_question]
    model, tokenizer = load_base(str(MODEL))
    wanted = persona_log_likelihoods(model, tokenizer, build_messages(QUESTION, None), [voiced("chef")], personas)
    found = asyncio.run(scorer.score("chef", QUESTION, voiced("chef")))
    assert found == pytest.approx(log_ratio(wanted, [0])[0], abs=1e-5)
    assert asyncio.run(scorer.score("chef", QUESTION, "  ")) is None


def test_the_event_loop_is_free_while_an_answer_is_scored() -> None:
    scorer = LikelihoodStyle(**SETTINGS)  # type: ignore[arg-type]

    async def both() -> int:
        turns = 0
        task = asyncio.create_task(scorer.score("chef", QUESTION, voiced("chef")))
        while not task.done():
            await asyncio.sleep(0)
            turns += 1
        return turns

    assert asyncio.run(both()) > 10


def test_unfit_settings_and_rows_are_refused() -> None:
    with pytest.raises(UserError, match="25 other personas of a pool of 25; give 1 to 24"):
        LikelihoodStyle(str(MODEL), others=25)
    with pytest.raises(UserError, match=r"extra_info\.question is missing"):
        asyncio.run(LikelihoodStyle(str(MODEL)).score("chef", "", "text"))
