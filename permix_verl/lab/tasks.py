r"""The lab's two levels as evaluation tasks, generated on the fly.

Easy has the families that RL trains on, with other problems. Hard has three changes and chains of comparisons, which
RL never sees.

{"question": "Mia has 12 pears. She buys 5 more, then loses 3. ...", "answer": "12+5=<<12+5=17>>17. ...\n#### 14"}
"""

from collections.abc import Callable, Mapping, Sequence

from permix_verl.data.problems import iter_problems, parse_final_answer
from permix_verl.evaluation.tasks import EvalProblem, Task, math_task
from permix_verl.lab.base_model import MAX_COMPLETION_TOKENS
from permix_verl.lab.problems import generate

GENERATED = "generated"
PROBLEMS = 400


def generated_task(name: str, max_tokens: int, rows: Callable[[], Sequence[Mapping[str, str]]]) -> Task:
    """Build a task of generated problems; a source other than ``GENERATED`` is a file in GSM8K's format.

    Args:
        rows: makes the problems, in that format.
    """

    def load(source: str) -> list[EvalProblem]:
        if source != GENERATED:
            found = iter_problems(source, split="test", dataset=name)
            return [EvalProblem(row.row_id, row.question, row.final_answer) for row in found]
        return [
            EvalProblem(f"{name}/test/{index}", row["question"], parse_final_answer(row["answer"]))
            for index, row in enumerate(rows())
        ]

    return math_task(name, GENERATED, max_tokens, load)


def lab_task(level: str) -> Task:
    """Build the task of a level."""
    return generated_task(f"lab_{level}", MAX_COMPLETION_TOKENS, lambda: generate(PROBLEMS, level, "test"))


EASY = lab_task("easy")
HARD = lab_task("hard")
