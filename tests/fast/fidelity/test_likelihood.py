"""The hand-written answers that the persona likelihood is tested on, and the verdict of that test."""

import numpy as np

from permix_verl import load_pool
from permix_verl.data.problems import parse_final_answer
from permix_verl.fidelity.likelihood.known_texts import (
    content_words,
    quoting_answer,
    shared_words,
    written_problems,
)
from permix_verl.lab.likelihood_check import GROUPS, analyse, known_answers, labels, usable

POOL = load_pool("eval")


def test_there_are_160_answers_of_two_to_four_sentences_that_give_the_right_number() -> None:
    problems = written_problems()
    assert len(problems) == 10
    texts = [text for problem in problems for text in problem.written.values()]
    assert len(set(texts)) == 160
    for problem in problems:
        assert list(problem.written) == list(POOL.keys)
        result = parse_final_answer(problem.solution)
        for text in problem.written.values():
            assert 8 <= len(text.split()) <= 60, text
            assert result in text, (result, text)


def test_no_word_of_a_hand_written_answer_is_of_any_personas_prompt() -> None:
    for problem in written_problems():
        for key, text in problem.written.items():
            for persona in POOL:
                assert not shared_words(text, persona.system_prompt), (key, text)


def test_words_that_are_shared_would_be_seen() -> None:
    """Negative control."""
    lawyer = POOL.get("lawyer")
    assert shared_words("Legally, I reason as a Lawyer would.", lawyer.system_prompt) == {"legally", "reason", "lawyer"}
    assert not shared_words("You are to do it, as the others in court.", lawyer.system_prompt)
    assert "problems" in content_words(lawyer.system_prompt)
    solution = written_problems()[0].solution
    assert quoting_answer(lawyer, solution).endswith("to problems. 5*4=20. The answer is 20.")
    assert len(shared_words(quoting_answer(lawyer, solution), lawyer.system_prompt)) > 8


def test_the_check_says_whether_the_measure_may_be_used() -> None:
    own, problem = labels()
    assert (len(own), len(problem)) == (160, 160)
    noise = np.random.default_rng(0).normal(size=(160, 16))
    signal = noise + 2 * np.eye(16)[own]
    found = analyse(dict.fromkeys(GROUPS, signal))
    assert usable(found)
    exchanged = found["labels exchanged"].rate
    assert exchanged.low is not None
    assert exchanged.high is not None
    assert exchanged.low < 1 / 16 < exchanged.high
    assert not usable(analyse(dict.fromkeys(GROUPS, noise)))


def test_each_group_has_an_answer_of_every_persona_to_every_problem() -> None:
    for group in GROUPS:
        answers = known_answers(group)
        assert [len(row) for row in answers] == [16] * 10
        assert answers == known_answers(group)
    assert "I am a skilled lawyer" in known_answers(GROUPS[2])[0][POOL.keys.index("lawyer")]
