"""New verdicts for stored answers."""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from permix_verl.evaluation.run import configured
from permix_verl.evaluation.sample_store import Sample, SampleStore
from permix_verl.evaluation.scoring import Scorer, Verdict
from permix_verl.evaluation.tasks import EvalProblem, Task, find_task

LOT = 1024


@dataclass(frozen=True, slots=True)
class Changes:
    """Samples scored again, and how many got another status or another answer read."""

    samples: int
    changed: int


def rescore(folder: Path, tasks: Sequence[str] = (), task_args: Mapping[str, str] | None = None) -> dict[str, Changes]:
    """Score every stored sample again, by today's reward file and tasks; each task's file is replaced in one move.

    Args:
        tasks: task files, for tasks that are not ours; ``name=source`` for tasks whose golds stay in their source.
        task_args: settings of tasks that have some.

    Raises:
        UserError: not a results folder, or a task that is not known.
    """
    given = {}
    for text in tasks:
        name, _, source = text.partition("=")
        task = configured(find_task(name), task_args or {})
        if source:
            task.load(source)
        given[task.name] = task
    store = SampleStore(folder)
    store.settings()
    found = {}
    scorer = Scorer()
    try:
        with store.writing():
            for name in store.tasks():
                counts = [0, 0]
                store.replace(name, _scored(store, given.get(name) or find_task(name), scorer, counts))
                found[name] = Changes(*counts)
    finally:
        scorer.close()
    return found


def _scored(store: SampleStore, task: Task, scorer: Scorer, counts: list[int]) -> Iterator[Sample]:
    samples = store.samples(task.name)
    while lot := list(islice(samples, LOT)):
        verdicts: list[Future[Verdict]] = [
            scorer.submit(task, EvalProblem(sample.problem, sample.prompt, sample.gold), sample.output)
            for sample in lot
        ]
        for sample, verdict in zip(lot, verdicts, strict=True):
            result = verdict.result()
            again = replace(
                sample, status=str(result["status"]), pred=str(result["pred"]), mark=str(result.get("mark", ""))
            )
            counts[0] += 1
            counts[1] += (again.status, again.pred) != (sample.status, sample.pred)
            yield again
