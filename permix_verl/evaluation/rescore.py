"""Rescoring of stored completions."""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from permix_verl.chat_templates.reading import Reading
from permix_verl.evaluation.run import configure_task
from permix_verl.evaluation.sample_store import Sample, SampleStore
from permix_verl.evaluation.scoring import Score, Scorer
from permix_verl.evaluation.tasks import EvalProblem, Task, find_task

BATCH_SIZE = 1024
"""Completions scored at a time."""


@dataclass(frozen=True, slots=True)
class RescoreCounts:
    """Number of rescored samples, and of those whose status or extracted answer changed."""

    samples: int
    changed: int


def rescore(
    folder: Path, tasks: Sequence[str] = (), task_args: Mapping[str, str] | None = None
) -> dict[str, RescoreCounts]:
    """Rescore every stored sample with the current reward file and tasks; each task's file is replaced atomically.

    Args:
        tasks: task files of tasks outside of this package; ``name=source`` for tasks whose golds are in their source.
        task_args: settings of the tasks.

    Raises:
        UserError: not a results folder, or an unknown task.
    """
    named_tasks = {}
    for text in tasks:
        name, _, source = text.partition("=")
        task = configure_task(find_task(name), task_args or {})
        if source:
            task.load(source)
        named_tasks[task.name] = task
    store = SampleStore(folder)
    reading = Reading.of_settings(store.settings())
    counts_by_task = {}
    scorer = Scorer()
    try:
        with store.writing():
            for name in store.tasks():
                counts = [0, 0]
                store.replace(name, _rescored(store, named_tasks.get(name) or find_task(name), scorer, counts, reading))
                counts_by_task[name] = RescoreCounts(*counts)
    finally:
        scorer.close()
    return counts_by_task


def _rescored(store: SampleStore, task: Task, scorer: Scorer, counts: list[int], reading: Reading) -> Iterator[Sample]:
    samples = store.samples(task.name)
    while batch := list(islice(samples, BATCH_SIZE)):
        scores: list[Future[Score]] = [
            scorer.submit(
                task,
                EvalProblem(sample.problem, sample.prompt, sample.gold),
                reading.text(sample.output, sample.prompt, sample.finish_reason),
            )
            for sample in batch
        ]
        for sample, future in zip(batch, scores, strict=True):
            score = future.result()
            rescored = replace(
                sample, status=str(score["status"]), pred=str(score["pred"]), mark=str(score.get("mark", ""))
            )
            counts[0] += 1
            counts[1] += (rescored.status, rescored.pred) != (sample.status, sample.pred)
            yield rescored
