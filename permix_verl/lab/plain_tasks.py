r"""Word problems in plain words as evaluation tasks, generated on the fly: one step, and two.

{"question": "Mia has 5 bags with 4 oranges in each. How many oranges does she have?", "answer": "...\n#### 20"}
"""

from permix_verl.data.problems import iter_problems, parse_final_answer
from permix_verl.evaluation.tasks import EvalProblem, Task, boxed_gold, score_math
from permix_verl.lab.plain_problems import generate_plain
from permix_verl.lab.tasks import GENERATED
from permix_verl.personas.prompts import user_message

PROBLEMS = 400
MAX_TOKENS = 128


def plain_task(level: str) -> Task:
    """Build the task of a level; a source other than ``generated`` is a file in GSM8K's format."""

    def load(source: str) -> list[EvalProblem]:
        if source != GENERATED:
            rows = iter_problems(source, split="test", dataset=level)
            return [EvalProblem(row.row_id, row.question, row.final_answer) for row in rows]
        return [
            EvalProblem(f"{level}/test/{index}", row["question"], parse_final_answer(row["answer"]))
            for index, row in enumerate(generate_plain(PROBLEMS, level, "test"))
        ]

    return Task(
        name=level,
        source=GENERATED,
        max_tokens=MAX_TOKENS,
        load=load,
        prompt=lambda problem: user_message(problem.question),
        score=score_math,
        gold_output=boxed_gold,
    )


PLAIN_ONE = plain_task("plain_one")
PLAIN_TWO = plain_task("plain_two")
