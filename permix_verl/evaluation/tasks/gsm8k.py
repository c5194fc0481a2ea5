"""GSM8K's test set: 1,319 grade-school word problems (Cobbe et al., 2021).

{"question": "Janet's ducks lay 16 eggs per day. ...", "answer": "Janet sells 16 - 3 - 4 = ...\\n#### 18"}
"""

from permix_verl.data.problems import HUB_NAME, iter_problems
from permix_verl.evaluation.tasks import EvalProblem, math_task


def load(source: str) -> list[EvalProblem]:
    return [EvalProblem(row.row_id, row.question, row.final_answer) for row in iter_problems(source, split="test")]


TASK = math_task("gsm8k", HUB_NAME, max_tokens=1024, load=load)
