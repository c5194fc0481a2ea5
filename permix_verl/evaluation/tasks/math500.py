r"""MATH-500: 500 competition problems with LaTeX answers (the split of Lightman et al., 2023).

{"problem": "Convert the point $(0,3)$ ...", "answer": "\\left( 3, \\frac{\\pi}{2} \\right)", "unique_id": ...}
"""

from permix_verl.data.problems import iter_records
from permix_verl.evaluation.tasks import EvalProblem, math_task


def load(source: str) -> list[EvalProblem]:
    records = iter_records(source, "test", ("problem", "answer"))
    return [
        EvalProblem(str(record.get("unique_id") or f"math500/test/{index}"), record["problem"], record["answer"])
        for index, record in enumerate(records)
    ]


TASK = math_task("math500", "HuggingFaceH4/MATH-500", max_tokens=2048, load=load)
