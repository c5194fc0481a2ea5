"""Tasks: golds that must score, files of one's own, and what is refused."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from permix_verl import UserError
from permix_verl.evaluation.scoring import Scorer, check_golds
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
