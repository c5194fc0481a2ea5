"""The reward file, loaded by path as verl loads it: extraction of the final answer, and its status."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ...support.reward_file import SOURCE, load

KEYS = {"score", "acc", "no_answer", "timeout", "error", "status", "pred", "mark", "persona", "row_id"}


@pytest.fixture(scope="module")
def reward(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A copy of the file in an empty folder, without anything beside it."""
    module = load(Path(shutil.copy(SOURCE, tmp_path_factory.mktemp("alone"))))
    yield module
    module.close()


CASES = [
    ("so the answer is \\boxed{18}", "18", "correct"),
    ("\\boxed{\\sqrt{4}}", "2", "correct"),
    ("\\boxed{7}", "8", "wrong"),
    ("\\boxed{\\sqrt{5}}", "8", "wrong"),
    ("I do not know", "8", "no_answer"),
    ("", "8", "no_answer"),
    (None, "8", "no_answer"),
    ("\\boxed{7}", None, "error"),
    ("\\boxed{7}", "", "error"),
    ("\\boxed{\\sqrt{5}}", "5" * 20_000, "error"),
]


@pytest.mark.parametrize(("solution", "gold", "status"), CASES)
def test_every_result_has_the_same_keys_and_only_correct_scores(
    reward: Any, solution: str | None, gold: str | None, status: str
) -> None:
    result = reward.compute_score("gsm8k", solution, gold, {"persona": "chef", "row_id": "gsm8k/train/3"})
    assert set(result) == KEYS
    assert result["status"] == status
    assert result["score"] == result["acc"] == float(status == "correct")
    assert {key: result[key] for key in ("no_answer", "timeout", "error")} == {
        key: float(status == key) for key in ("no_answer", "timeout", "error")
    }
    assert (result["persona"], result["row_id"]) == ("chef", "gsm8k/train/3")
    assert bool(result["pred"]) == (status in ("correct", "wrong"))
    # verl's validation averages every number, so all other values must be text.
    assert {type(value) for value in result.values()} == {float, str}


def test_the_reward_is_blind_to_persona_and_data_source(reward: Any) -> None:
    for persona in ("chef", "minimalist", "no_persona"):
        for source in ("gsm8k/chef", "x", None):
            assert reward.compute_score(source, "\\boxed{18}", "18", {"persona": persona})["score"] == 1.0


READINGS = [
    # Golds.
    ("\\boxed{72}", "48/2 = <<48/2=24>>24\n#### 72", "correct"),
    ("\\boxed{1234}", "#### 1,234", "correct"),
    ("\\boxed{\\frac{\\pi}{2}}", "\\frac{\\pi}2", "correct"),
    ("\\boxed{\\frac{\\pi}{2}}", "$\\frac{\\pi}2$", "correct"),
    ("\\boxed{x^2+1}", "\\boxed{1+x^2}", "correct"),
    ("\\boxed{5}", "5 \\text{ cm}", "correct"),
    ("\\boxed{\\pi}", "3.14159265", "correct"),
    ("\\boxed{6}", 6, "correct"),
    # The last box wins over other boxes and over prose; text after it is ignored.
    ("First \\boxed{7}. No: \\boxed{8}.", "8", "correct"),
    ("First \\boxed{7}. No: \\boxed{8}.", "7", "wrong"),
    ("The final answer is $42$. I hope it is correct. \\boxed{7}", "7", "correct"),
    ("\\boxed{18} dollars. Now eat 3 cookies! The answer is always 3.", "18", "correct"),
    ("\\fbox{18}", "18", "correct"),
    ("\\boxed{\\boxed{18}}", "18", "correct"),
    ("I write \\boxed{18}, and never \\boxed{}.", "18", "correct"),
    ("\\boxed{18}. Then \\boxed{\\frac{1}{", "18", "no_answer"),
    ("the set \\{1, 2\\} has \\boxed{2} members", "2", "correct"),
    # Adjacent boxes are one answer if the gold has several values; otherwise the last box counts.
    ("$\\boxed{1}$ and $\\boxed{2}$", "1, 2", "correct"),
    ("$\\boxed{1}$, $\\boxed{2}$, and $\\boxed{3}$", "\\{1,2,3\\}", "correct"),
    ("$\\boxed{1}$ and $\\boxed{2}$", "1", "wrong"),
    ("$\\boxed{1}$ and $\\boxed{2}$", "1,234", "wrong"),
    # Units and formatting around a number, in a box and outside.
    ("\\boxed{18 dollars}", "18", "correct"),
    ("\\boxed{18\\text{ dollars per day}}", "18", "correct"),
    ("\\boxed{\\text{18 dollars}}", "18", "correct"),
    ("\\boxed{18\\,\\mathrm{km/h}}", "18", "correct"),
    ("\\boxed{18\\text{ m}}", "18", "correct"),
    ("\\boxed{18\\ cm^2}", "18", "correct"),
    ("\\boxed{60^\\circ}", "60", "correct"),
    ("\\boxed{\\$18}", "18", "correct"),
    ("\\boxed{\\text{Profit} = \\$8,400}", "8400", "correct"),
    ("\\boxed{x = 18}", "18", "correct"),
    ("\\boxed{1{,}234}", "1234", "correct"),
    ("\\boxed{1\\,234\\,567}", "1234567", "correct"),
    ("\\boxed{18.00}", "18", "correct"),
    ("\\boxed{-18}", "18", "wrong"),
    ("\\boxed{\u221218}", "-18", "correct"),
    ("\\boxed{1.2 million}", "1200000", "correct"),
    ("\\boxed{2 dozen}", "24", "correct"),
    ("\\boxed{2 dozen}", "2", "correct"),
    ("\\boxed{18x}", "18", "wrong"),
    ("\\boxed{18 or 20}", "18", "wrong"),
    ("\\boxed{18 apples or maybe 20 apples}", "18", "wrong"),
    ("\\boxed{5\\sqrt{2}}", "5", "wrong"),
    ("\\boxed{36/2}", "18", "correct"),
    ("\\boxed{1\\frac{1}{2}}", "1.5", "correct"),
    ("\\boxed{\u0661\u0668}", "18", "correct"),
    ("\\boxed{2\u00bd}", "2.5", "correct"),
    ("\\boxed{1/0}", "5", "wrong"),
    # Percent: with antlr 4.9.3, which Hydra pins, math-verify alone reads an earlier number.
    ("From 12 to \\boxed{28\\%}", "28", "correct"),
    ("From 12 to \\boxed{28\\%}", "0.28", "correct"),
    ("From 12 to \\boxed{28\\%}", "12", "wrong"),
    ("\\boxed{28.0\\%}", "28", "correct"),
    ("\\boxed{28}", "28\\%", "correct"),
    ("\\boxed{0.28}", "28\\%", "correct"),
    ("\\boxed{0.28\\%}", "28\\%", "wrong"),
    ("\\boxed{x\\%}", "x\\%", "correct"),
    ("\\boxed{2x\\%}", "x\\%", "wrong"),
    ("The answer is 28 percent.", "28", "correct"),
    ("Of 100, answer 2\u00bd", "2.5", "correct"),
    # GSM8K's marks, with a persona's words after them.
    ("#### 1,234", "1234", "correct"),
    ("#### $1,234.", "1234", "correct"),
    ("#### 18 dollars. Bon appetit, and mind the 3 cookies!", "18", "correct"),
    ("#### 1. Count the ducks\nThere are 5.\n#### 2. Sell\nThat makes 18 in all", "18", "correct"),
    ("It is so.\nA: 18\n\nEat 3 cookies", "18", "correct"),
    ("**A:** 18", "18", "correct"),
    ("Answer: 18\nFun fact: I sailed 7 seas", "18", "correct"),
    ("**Answer:** **18** dollars", "18", "correct"),
    ("The answer is (18) dollars. Eat 3 cookies", "18", "correct"),
    ("The answer is (18) dollars. Eat 3 cookies", "3", "wrong"),
    ("The answer is **$18** a day, matey, by 7 seas!", "18", "correct"),
    ("The answer is $18$. I like 7.", "18", "correct"),
    ("The answer is \\(18\\). I like 7.", "18", "correct"),
    ("The final answer is: \n\n18\n\nTake 5!", "18", "correct"),
    ("The answer is $\\sqrt{16}$. I like 7.", "4", "correct"),
    ("The answer is 3 * 6 = 18 eggs. I like 7.", "18", "correct"),
    ("The answer is 5? No: the answer is 18.", "18", "correct"),
    ("Answer:\n- 18 eggs", "18", "correct"),
    ("A: 1/2\nEat 3 cookies", "0.5", "correct"),
    # JSON.
    ('{"reasoning": "3 * 6", "answer": "18"}', "18", "correct"),
    ('{"reasoning": "3 * 6", "answer": 18}', "18", "correct"),
    ('```json\n{"answer": "18 dollars",\n "mood": "3 cookies"}\n```', "18", "correct"),
    ('{"answer": "$\\\\frac{\\\\pi}{2}$"}', "\\frac{\\pi}{2}", "correct"),
    ('{"answer": "$\\frac{\\pi}{2}$"}', "\\frac{\\pi}{2}", "correct"),
    ('{"answer": "She makes $18 a day"}', "18", "correct"),
    ('{"reasoning": "\\\\boxed{7} was a step", "answer": "18"}', "18", "correct"),
    ('{"reasoning": "3 * 6 = 18, and', "18", "no_answer"),
    ('{"reasoning": "3 * 6 = 18", "answer": null}', "18", "no_answer"),
    # Money, formulas and calculations on the answer's line.
    ("The answer is $\\$18$.", "18", "correct"),
    ("The answer is $\\$1{,}234$ per day. 7 seas", "1234", "correct"),
    ("**Answer:** $9 \\times 2 = \\$18$", "18", "correct"),
    ("Answer: $200 - $20 = $180", "180", "correct"),
    ("Answer: $2 * 9 = $18 per day", "18", "correct"),
    ("Answer: $2 * 9 = $18 per day", "2", "wrong"),
    ("#### $18 (9 eggs at $2 each)", "18", "correct"),
    ("#### $18 for 9 eggs at $2", "18", "correct"),
    ("The answer is $x$ = 18.", "18", "correct"),
    ("Answer: 9 eggs * $2 = $18", "18", "correct"),
    ("Answer: 9 eggs * $2 = $18", "9", "wrong"),
    ("Answer: 9 eggs x $2 per egg = $18 a day.", "18", "correct"),
    ("A: 9 eggs at $2 each makes $18.", "18", "correct"),
    ("A: 9 eggs at $2 each makes $18.", "9", "wrong"),
    ("The answer is 5 times 3 = 15", "15", "correct"),
    ("The answer is 5 times 3 = 15", "5", "wrong"),
    ("Answer: 20 dollars minus 2 dollars is 18", "18", "correct"),
    ("Answer: 50% of 36 = 18", "18", "correct"),
    ("Answer: 50% of 36 = 18", "50", "wrong"),
    ("Answer: 3/4 of 24 is 18", "18", "correct"),
    ("Answer: 16 eggs - 3 - 4 = 9 eggs, 9 * 2 = 18", "18", "correct"),
    ("The answer is 18 (9 \u00d7 2).", "18", "correct"),
    ("#### 18 (9 * 2)", "18", "correct"),
    ("The answer is 2\\pi.", "2", "wrong"),
    ("The answer is 2pi.", "2", "wrong"),
    ("The answer is 1e3", "1000", "correct"),
    ("The answer is 1e3", "1", "wrong"),
    # Golds of several numbers, golds in a box, golds at the end of a worked solution.
    ("\\boxed{1, 2}", "1,2", "correct"),
    ("\\boxed{-2, 1}", "-2,1", "correct"),
    ("\\boxed{-2.1}", "-2,1", "wrong"),
    ("$\\boxed{1}$ and $\\boxed{2}$", "1,2", "correct"),
    ("\\boxed{3,5}", "3.5", "correct"),
    ("\\boxed{18 dollars}", "\\boxed{18}", "correct"),
    ("\\boxed{18 dollars}", "She sells $9\\cdot 2 = \\boxed{18}$ dollars.", "correct"),
    ("The answer is (18) dollars. Eat 3 cookies", "\\boxed{18}", "correct"),
    # Prose about answers.
    ("#### 18\n\nArr, I hope this answer is helpful, matey! Bring 3 parrots.", "18", "correct"),
    ("#### 18\n\nI hope this answer is correct! Order no 20.", "18", "correct"),
    ("#### 18\n\nThe answer is correct because 16-3-4=9 and 9*2=18.", "18", "correct"),
    ('\\boxed{18}\n\n{"answer": "see above"}', "18", "correct"),
    ('{"answer": "18"}\nI named the key "answer": simple! Eat 3', "18", "correct"),
    ("#### **18**\n\nBon appetit, and mind the 3 cookies!", "18", "correct"),
    ("#### x = 18, arr 3", "18", "correct"),
    # Words in a box that change the number, and words that do not.
    ("\\boxed{1.8\\text{ million dollars}}", "1800000", "correct"),
    ("\\boxed{2\\text{ dozen eggs}}", "24", "correct"),
    ("\\boxed{2\\text{ hours }30\\text{ minutes}}", "2", "wrong"),
    ("\\boxed{5\\text{ dollars and 50 cents}}", "5", "wrong"),
    ("\\boxed{18\\text{ or 20}}", "18", "wrong"),
    ("\\boxed{18\\text{, 19, 20, 21, 22}}", "18", "wrong"),
    ("\\boxed{18 \\text{ minus 2}}", "18", "wrong"),
    ("\\boxed{5\\text{ or more}}", "5", "wrong"),
    ("\\boxed{5!}", "120", "correct"),
    ("\\boxed{5!}", "5", "wrong"),
    ("\\boxed{2xy}", "2", "wrong"),
    ("\\boxed{3 squared}", "3", "wrong"),
    ("\\boxed{\\text{The answer is } 18}", "18", "correct"),
    ("\\boxed{Total: $18}", "18", "correct"),
    ("\\boxed{\\text{18 dollars, matey}}", "18", "correct"),
    ("\\boxed{18 dollars \U0001f389}", "18", "correct"),
    ("\\boxed{18 eggs!!}", "18", "correct"),
    ("\\boxed{18,}", "18", "correct"),
    ("\\boxed{USD 18}", "18", "correct"),
    ("\\boxed{18 m/s}", "18", "correct"),
    ("\\boxed{\\textit{18 doubloons}}", "18", "correct"),
    ("\\boxed{\\color{red}{18}}", "18", "correct"),
    ("\\boxed{\u20135}", "-5", "correct"),
    ("The answer is negative 5.", "-5", "correct"),
    ("The answer is negative 5.", "5", "wrong"),
    # Several answers count as no answer.
    ("The answer is not 18, but 20.", "20", "correct"),
    ("The answer is not 18, but 20.", "18", "wrong"),
    ("The answer is 18 or 20", "18", "wrong"),
    ("The answer is between 18 and 20", "18", "wrong"),
    ("The answer is 18 eggs or 20 eggs", "18", "wrong"),
    ("#### 18 20", "18", "wrong"),
    ("#### 18; 20", "18", "wrong"),
    ("#### 18 \u2013 20", "18", "wrong"),
    ("The answer is 18. No wait, it is 20.", "20", "correct"),
    ("The answer is 18. No wait, it is 20.", "18", "wrong"),
    ("Answer: 3 hours 30 minutes", "3", "wrong"),
    # Other wrappers.
    ("<answer>18</answer> Arr, 7 seas", "18", "correct"),
    ("The answer is `18`. I like 7.", "18", "correct"),
    ("The answer is \u201c18\u201d. I like 7.", "18", "correct"),
    ("The answer is ~18. I like 7.", "18", "correct"),
    ("The answer is US$18. I like 7.", "18", "correct"),
    ("{'answer': '18', 'mood': '3'}", "18", "correct"),
    ('{"answer": 1,234}', "1234", "correct"),
    ('{"answer": "9 * 2 = 18 dollars"}', "18", "correct"),
    ('{"reasoning": "9 * 2", "response": "so \\\\boxed{18}", "mood": 3}', "18", "correct"),
    ("<think>It is \\boxed{18} maybe", "18", "no_answer"),
    # Thinking aloud; nothing marked; nothing but the answer.
    ("<think>\\boxed{7}</think> So \\boxed{18}.", "18", "correct"),
    ("<think>\\boxed{18}</think> I forgot.", "18", "no_answer"),
    ("She sells 9 eggs for 2 dollars, so she makes 18 dollars.", "18", "correct"),
    ("18", "18", "correct"),
    ("(1, 2)", "(1,2)", "correct"),
    ("48/2=<<48/2=24>>24", "24", "correct"),
    ("odd $n$", "odd $n$", "correct"),
]


@pytest.mark.parametrize(("solution", "gold", "status"), READINGS)
def test_the_final_answer_is_extracted_by_the_policy(reward: Any, solution: str, gold: str, status: str) -> None:
    assert reward.compute_score("x", solution, gold)["status"] == status


def test_odd_text_gets_a_status(reward: Any) -> None:
    for solution in (
        "\ud83d \\boxed{5}",
        "\ud83d \\boxed{\\sqrt{25}}",
        "line\nbreaks\r\n\\boxed{\\sqrt{25}}\n",
        "\x00 \u2028 \\boxed{\\sqrt{25}}",
        "x" * 300_000 + "\\boxed{5}",
    ):
        assert reward.compute_score("x", solution, "5")["status"] == "correct"


def test_an_unreadable_ground_truth_is_an_error(reward: Any) -> None:
    assert reward.compute_score("x", "\\boxed{\\sqrt{5}}", "\\frac{")["status"] == "error"
