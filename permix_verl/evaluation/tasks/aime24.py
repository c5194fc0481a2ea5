"""AIME 2024: 30 problems whose answers are integers from 0 to 999, written with leading zeros.

{"problem": "Every morning Aya goes for a 9-kilometer-long walk ...", "answer": "204"}
"""

from permix_verl.data.problems import iter_records
from permix_verl.evaluation.tasks import EvalProblem, math_task


def load(source: str) -> list[EvalProblem]:
    # The hub's copy names its only split "train".
    records = iter_records(source, "test", ("problem", "answer"), hub_split="train")
    return [
        # 025 is 25: a parser may read the zero as another base, or as a digit of its own.
        EvalProblem(f"aime24/{record.get('id', index)}", record["problem"], str(int(record["answer"])))
        for index, record in enumerate(records)
    ]


TASK = math_task("aime24", "HuggingFaceH4/aime_2024", max_tokens=4096, load=load)
