"""Tasks: golds that must score, files of one's own, and what is refused."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from permix_verl import UserError
from permix_verl.evaluation.scoring import Scorer, check_golds, load_reward
from permix_verl.evaluation.tasks import EvalProblem, Task, boxed_gold, find_task, load_problems, score_math

PROBLEMS = [EvalProblem(f"sums/{n}", f"{n} + 1 = ?", str(n + 1)) for n in range(4)]
TASK = Task("sums", "-", 8, lambda source: PROBLEMS, lambda problem: problem.question, score_math, boxed_gold)


@pytest.fixture
def scorer() -> Iterator[Scorer]:
    scorer = Scorer(1)
    yield scorer
    scorer.close()


def test_golds_of_the_real_tasks_score_as_correct(shared_data: Path, scorer: Scorer) -> None:
    for name, size in (("gsm8k", 1319), ("math500", 500), ("aime24", 30)):
        task = find_task(name)
        problems = load_problems(task, str(shared_data / name))
        assert len(problems) == size
        check_golds(task, problems, scorer)


def test_a_gold_that_does_not_score_is_refused(scorer: Scorer) -> None:
    """Negative control of the check above."""
    broken = replace(TASK, gold_output=lambda problem: "so it is 3" if problem.id == "sums/1" else boxed_gold(problem))
    with pytest.raises(UserError, match=r"task sums: 1 of 4 gold answers .*problem sums/1: '2' is 'wrong'"):
        check_golds(broken, PROBLEMS, scorer)


@pytest.mark.parametrize(
    ("output", "strict"),
    [
        ("It is \\boxed{3}.", "correct"),
        ("2 + 1 = 3\n#### 3", "correct"),
        ("The answer is 3.", "no_answer"),
        ("<answer>3</answer>", "no_answer"),
        ('{"answer": 3}', "no_answer"),
        ("So it is **3**", "no_answer"),
        ("So she has 3 left.", "no_answer"),
        ("It is \\boxed{4}.", "wrong"),
        ("", "no_answer"),
    ],
)
def test_correct_by_a_strict_mark_is_what_the_strict_verifier_calls_correct(output: str, strict: str) -> None:
    """Strict accuracy is counted from verdicts of lenient reading; asking again strictly would say the same."""
    reward = load_reward()
    lenient = reward.compute_score("", output, "3")
    assert reward.compute_score("", output, "3", strict=True)["status"] == strict
    assert (lenient["status"] == "correct" and lenient["mark"] in reward.STRICT_MARKS) == (strict == "correct")
    assert lenient["status"] == {"It is \\boxed{4}.": "wrong", "": "no_answer"}.get(output, "correct")


def test_unknown_tasks_and_bad_task_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match="unknown task 'gsm9k'; known: aime24, gsm8k, lab_easy, lab_hard, livecodebench, math500"
    ):
        find_task("gsm9k")
    with pytest.raises(UserError, match="no task file"):
        find_task(str(tmp_path / "none.py"))
    (tmp_path / "empty.py").write_text("x = 1\n")
    with pytest.raises(UserError, match="defines no TASK"):
        find_task(str(tmp_path / "empty.py"))
    twice = Task("t", "-", 8, lambda s: PROBLEMS * 2, TASK.prompt, score_math, boxed_gold)
    with pytest.raises(UserError, match="problem id 'sums/0' is empty or repeats"):
        load_problems(twice)
    assert len(load_problems(twice, limit=3)) == 3
