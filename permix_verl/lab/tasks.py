r"""The lab's two levels as evaluation tasks, generated on the fly.

Easy has the families that RL trains on, with other problems. Hard has three changes and chains of comparisons, which
RL never sees.

{"question": "Mia has 12 pears. She buys 5 more, then loses 3. ...", "answer": "12+5=<<12+5=17>>17. ...\n#### 14"}
"""

from permix_verl.data.problems import iter_problems, parse_final_answer
from permix_verl.evaluation.tasks import EvalProblem, Task, boxed_gold, score_math
from permix_verl.lab.base_model import MAX_COMPLETION_TOKENS
from permix_verl.lab.problems import generate
from permix_verl.personas.prompts import user_message

GENERATED = "generated"
PROBLEMS = 400


def lab_task(level: str) -> Task:
    """Build the task of a level; a source other than ``GENERATED`` is a file in GSM8K's format."""
    name = f"lab_{level}"

    def load(source: str) -> list[EvalProblem]:
        if source != GENERATED:
            rows = iter_problems(source, split="test", dataset=name)
            return [EvalProblem(row.row_id, row.question, row.final_answer) for row in rows]
        return [
            EvalProblem(f"{name}/test/{index}", row["question"], parse_final_answer(row["answer"]))
            for index, row in enumerate(generate(PROBLEMS, level, "test"))
        ]

    return Task(
        name=name,
        source=GENERATED,
        max_tokens=MAX_COMPLETION_TOKENS,
        load=load,
        prompt=lambda problem: user_message(problem.question),
        score=score_math,
        gold_output=boxed_gold,
    )


EASY = lab_task("easy")
HARD = lab_task("hard")
