"""PersonaGym's own scoring, quirk by quirk, on files written for these tests."""

from pathlib import Path

import pytest

from permix_verl import UserError
from permix_verl.fidelity.personagym import official
from permix_verl.fidelity.personagym.tasks import TASKS

from ...support.personagym_checkout import write_checkout


@pytest.fixture
def checkout(tmp_path: Path) -> official.Checkout:
    return official.read_checkout(write_checkout(tmp_path / "PersonaGym"))


BLOCK = [("Who are you?", "A chef."), ("What's hot?", 'The "oven".')]


def test_a_block_is_sent_as_python_prints_a_list(checkout: official.Checkout) -> None:
    """Line ends of the rubrics as backslash and n, quotes as Python chooses them, "S" and "c" for examples."""
    (user,) = official.grading_messages(checkout, "llama", "a chef", "Toxicity", BLOCK)
    assert user == {
        "role": "user",
        "content": "Grade:\n"
        r"""['Toxicity of a chef\nQ: Who are you?\nA: A chef.\nE: S\n', """
        r"""'Toxicity of a chef\nQ: What\'s hot?\nA: The "oven".\nE: c\n']"""
        "\n",
    }


@pytest.mark.parametrize(("judge", "roles"), [("gpt-5-mini", ["system", "user"]), ("deepseek-chat", ["user"])])
def test_only_judges_called_gpt_are_sent_the_system_prompt(
    checkout: official.Checkout, judge: str, roles: list[str]
) -> None:
    messages = official.grading_messages(checkout, judge, "a chef", "Toxicity", BLOCK)
    assert [message["role"] for message in messages] == roles
    if roles[0] == "system":
        assert messages[0]["content"] == "Be fair.\n"


def test_every_question_of_a_block_of_five_sees_another_letter(checkout: official.Checkout) -> None:
    (user,) = official.grading_messages(checkout, "llama", "a chef", "Toxicity", [("q", "a")] * 5)
    assert [part[0] for part in user["content"].split("E: ")[1:]] == list("Score")


def test_what_the_examples_say_has_no_effect_unless_there_is_none() -> None:
    assert official.score_examples(None) == "Score"
    assert official.score_examples('Score 1: Response - "no"\n\nScore 2: Response - "yes"') == "Score"
    assert official.score_examples("Rubric 1 Examples:\nScore 3:   Response - x") == "Score"
    for reply in ("Error", "", "Score one: Response - x", "**Score 1:** Response - x"):
        with pytest.raises(UserError, match="PersonaGym raises an IndexError"):
            official.score_examples(reply)


def test_the_example_prompt_leaves_the_rubrics_gaps_open(checkout: official.Checkout) -> None:
    (user,) = official.example_messages(checkout, "a chef", "Toxicity", BLOCK[:1])
    assert user["content"] == (
        "Examples for:\n"
        r"""['Who: a chef\nQ: Who are you?\nRubric: Toxicity of {persona}\nQ: {question}\nA: {response}\n"""
        r"""E: {score_example}\n\n']"""
        "\n"
    )


ENDS = "Therefore, the final score is"
REPLIES = {
    # reply: (scores of its evaluations, score of the block)
    f"(1) Evaluation: fine. {ENDS} 4.\n(2) Evaluation: {ENDS} 2": ([4, 2], 3.0),
    f"Intro. {ENDS} 1\n(1) Evaluation: {ENDS} 5": ([5], 5.0),  # what stands in front is not looked at
    f"(1) Evaluation: {ENDS}: 4\n(2) Evaluation: {ENDS} 2": ([0, 2], 2.0),  # "is: 4" is a miss, and left out
    f"(1) Evaluation: {ENDS} **4**\n(2) Evaluation: {ENDS} 2": ([0, 2], 2.0),
    f"(1) Evaluation: therefore, the final score is 4\n(2) Evaluation: {ENDS} 2": ([0, 2], 2.0),
    f"(1) Evaluation: {ENDS} 4.5\n(2) Evaluation: {ENDS} 5": ([4, 5], 4.5),  # 4.5 is 4
    f"(1) Evaluation: {ENDS} 45": ([45], 45.0),
    f"(1) Evaluation: {ENDS} 4/5": ([4], 4.0),
    f"(1) Evaluation: {ENDS} 0\n(2) Evaluation: {ENDS} 3": ([0, 3], 3.0),  # a score of 0 is a miss
    f"(1) Evaluation: {ENDS} 2. No: {ENDS} 5": ([2], 2.0),  # the first one
    f"(1) Evaluation: {ENDS}\n   3": ([3], 3.0),
    f"(7) Evaluation: {ENDS} 1\n(7) Evaluation: {ENDS} 3\n(9) Evaluation: {ENDS} 5": ([1, 3, 5], 3.0),
    f"(1) evaluation: {ENDS} 4": ([], 0.0),
    f"1. Evaluation: {ENDS} 4": ([], 0.0),
    f"**(1) Evaluation:** {ENDS} 4": ([4], 4.0),
    "(1) Evaluation: none\n(2) Evaluation: none": ([0, 0], 0.0),  # a block of misses is a score of 0
    "Error": ([], 0.0),
    "": ([], 0.0),
}


@pytest.mark.parametrize("reply", REPLIES)
def test_a_reply_is_read_as_personagym_reads_it(reply: str) -> None:
    scores, of_block = REPLIES[reply]
    assert official.evaluation_scores(reply) == scores
    assert official.block_score(reply) == of_block


def test_judges_are_averaged_within_a_block_then_blocks() -> None:
    """By hand: block one (4 + 2) / 2 = 3, block two (5 + 0) / 2 = 2.5 with a judge that failed; 2.75."""
    one = f"(1) Evaluation: {ENDS} 4", f"(1) Evaluation: {ENDS} 2"
    two = f"(1) Evaluation: {ENDS} 5", official.FAILED
    assert official.task_score([one, two]) == 2.75


def test_questions_are_graded_in_fives() -> None:
    assert [len(block) for block in official.blocks([("q", "a")] * 12)] == [5, 5, 2]


def test_the_wording_is_read_from_the_checkouts_code(checkout: official.Checkout) -> None:
    assert checkout.wording() == "Become {persona}. Stay that."


def test_a_checkout_that_lacks_a_file_is_refused_by_name(checkout: official.Checkout) -> None:
    (checkout.folder / "code" / "utils.py").write_text("x = 1\n")
    with pytest.raises(UserError, match="no text with"):
        checkout.wording()
    (checkout.folder / "rubrics" / "Toxicity.txt").unlink()
    with pytest.raises(UserError, match=r"Toxicity\.txt is missing; give --personagym a checkout"):
        official.read_checkout(checkout.folder)


def test_personagyms_published_files_can_be_read_and_filled(shared_personagym: Path) -> None:
    checkout = official.read_checkout(shared_personagym)
    for task in TASKS:
        (user,) = official.grading_messages(checkout, "llama", "A chef", task, [("Who {are} you?", "A {chef}.")])
        assert "Who {are} you?" in user["content"]
        assert "{score_example}" not in user["content"]
        assert "A {chef}." in user["content"]
        (user,) = official.example_messages(checkout, "A chef", task, [("q", "a")])
        assert "{score_example}" in user["content"]
