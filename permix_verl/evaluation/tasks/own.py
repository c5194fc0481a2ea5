"""Problems of a file of one's own, or of any math data set on the hub: any fields and form of golds (docs/data.md).

    permix eval --tasks own=mine.csv,question-field=task,answer-field=result ...
    permix eval --tasks own-physics=physics.jsonl,own-dapo=dapo-math-17k ...   # each with a name in the results
    permix eval --tasks own=openr1-math.parquet,preset=openr1-math,bad-golds=drop ...

A task file may name its source itself: ``TASK = own_task("physics", "physics.jsonl,gold=boxed")``. Several of the same
problem are one. A source without ``split`` is read as ``test``; a preset without such a split, as its own.
"""

from dataclasses import replace

from permix_verl.data.gold_check import GoldCheck, close_reward
from permix_verl.data.problem_sources import ProblemSource, read_rows
from permix_verl.data.repeated_rows import UniqueRows
from permix_verl.data.source_spec import SourceSpec, parse_sources
from permix_verl.errors import UserError
from permix_verl.evaluation.tasks import EvalProblem, Task, math_task

MAX_TOKENS = 2048
NO_SOURCE = "no source"


def own_task(name: str, source: str = NO_SOURCE) -> Task:
    """Build the task of a name; ``source`` as ``permix prep --data`` takes it (``permix_verl.data.source_spec``)."""
    return math_task(name, source, MAX_TOKENS, load)


def load(source: str) -> list[EvalProblem]:
    """Read the problems, in order.

    Raises:
        UserError: no source, as :meth:`ProblemSource.rows`, one id for two problems, or a gold that cannot be used.
    """
    if source == NO_SOURCE:
        raise UserError("the task 'own' names no problems", "give them behind it: own=FILE_OR_NAME")
    sources = [ProblemSource(_test_split(spec)) for spec in parse_sources(source)]
    unique, golds = UniqueRows(lambda: read_rows(sources)), GoldCheck()
    rows = list(unique)
    usable = golds.usable(rows)
    close_reward()
    golds.refuse(len(rows))
    for one in sources:
        print(one.describe() or f"{one.spec.location} has no problem")
    if unique.repeats.count:
        print(unique.repeats.sentence())
    return [EvalProblem(row.problem.row_id, row.problem.question, row.problem.final_answer) for row in usable]


def _test_split(spec: SourceSpec) -> SourceSpec:
    if spec.options.split:
        return spec
    split = "test" if spec.known is None or "test" in (spec.known.problems or {}) else spec.known.split
    return replace(spec, options=replace(spec.options, split=split))


TASK = own_task("own")
