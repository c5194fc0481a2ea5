"""Arrays of correctness from stored samples, for the statistics."""

import re
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from permix_verl.chat_templates.reading import Reading
from permix_verl.errors import UserError
from permix_verl.evaluation.sample_store import Sample, SampleStore
from permix_verl.evaluation.status_counts import StatusCounts as StatusCounts
from permix_verl.evaluation.status_counts import count_statuses
from permix_verl.personas.pool import NO_PERSONA


@dataclass(frozen=True)
class Results:
    """One model on one task. A condition is a persona, or "no_persona" (the control).

    Attributes:
        label: name of the results folder.
        model, adapter: their names.
        personas: P keys, in the order of the persona pool.
        problems: N ids, in natural order, so that bootstrap results do not depend on the order of storage.
        golds: gold answers, length N. An id such as GSM8K's is a position in a file: another file may have another
            problem under it.
        correct_PRN: 0/1 correctness.
        control_RN: 0/1 correctness without a persona; ``None`` if not sampled.
        status_counts: by condition.
        mark_counts: number of completions by mark, for each condition; ``None`` if the mark of a correct completion
            was not recorded, which makes the strict counts meaningless.
        mean_tokens: mean tokens of a completion by condition; NaN if the engine did not report them.
        dropped: number of problems left out because a sample is missing.
        categories: persona -> category, as the folder has them; empty in folders of older versions.
    """

    label: str
    task: str
    model: str
    adapter: str | None
    personas: tuple[str, ...]
    problems: tuple[str, ...]
    golds: tuple[str, ...]
    correct_PRN: NDArray[np.float64]
    control_RN: NDArray[np.float64] | None
    status_counts: dict[str, StatusCounts]
    mark_counts: dict[str, dict[str, int]] | None
    mean_tokens: dict[str, float]
    dropped: int
    categories: dict[str, str] = field(default_factory=dict)

    @property
    def has_truncated_thoughts(self) -> bool:
        """Whether some completion ended inside a thought."""
        return any(counts.truncated_thoughts for counts in self.status_counts.values())


def load_results(folder: Path, *, allow_incomplete: bool = False) -> list[Results]:
    """Load all tasks of a results folder.

    Args:
        allow_incomplete: leave out problems with a missing sample instead of raising.

    Raises:
        UserError: not a results folder, no samples, or samples missing.
    """
    store = SampleStore(folder)
    settings = store.settings()
    results: list[Results] = []
    for task in settings["tasks"]:
        samples = list(store.samples(task))
        if not samples and not allow_incomplete:
            raise UserError(f"{folder} holds no samples of task {task} yet", "give its eval/run.py command again")
        if samples:
            results += _load_task(folder, task, samples, settings, allow_incomplete=allow_incomplete)
    if not results:
        raise UserError(f"{folder} holds no samples yet", "give its eval/run.py command again")
    return results


def _load_task(
    folder: Path, task: str, samples: Sequence[Sample], settings: Mapping[str, Any], *, allow_incomplete: bool
) -> Iterator[Results]:
    """Yield the results of each reported part of a task.

    Args:
        samples: all samples of the task; not empty.
        settings: the folder's settings.
    """
    adapter = settings.get("adapter")
    for name, ids in reported_parts(task, settings["tasks"][task]).items():
        if ids is not None and len(ids) < 2:
            print(f"{folder}: {name} has {len(ids)} problem, too few for statistics; left out", file=sys.stderr)
            continue
        chosen = samples if ids is None else [sample for sample in samples if sample.problem in ids]
        problems = int(settings["tasks"][task]["problems"]) if ids is None else len(ids)
        wanted, reading = settings["wanted"][task], Reading.of_settings(settings)
        grid = _SampleGrid.from_samples(chosen, wanted, problems, f"{folder}: {name}", reading)
        if grid.missing and not allow_incomplete:
            raise UserError(
                f"{folder}: {grid.missing} of {grid.size} samples of task {name} are missing",
                "give its eval/run.py command again, or --allow-incomplete to leave out the problems concerned",
            )
        if chosen:
            results = grid.results(
                label=folder.resolve().name,
                task=name,
                model=settings["model"]["name"],
                adapter=adapter["name"] if adapter else None,
            )
            yield replace(results, categories=dict(wanted.get("categories", {})))


def reported_parts(task: str, settings: Mapping[str, Any]) -> dict[str, frozenset[str] | None]:
    """Return the parts of a task that are reported separately: their names and problem ids, ``None`` for all ids."""
    groups: Mapping[str, Sequence[str]] = settings.get("groups") or {}
    return {name: frozenset(ids) for name, ids in groups.items()} or {task: None}


@dataclass(frozen=True)
class _SampleGrid:
    """Samples of one task by condition (C), run (R) and problem (N).

    Attributes:
        where: folder and task, for messages.
        correct_CRN: 0/1 correctness; NaN where a sample is missing.
        samples: by condition.
        size, missing: numbers of requested and of missing samples.
        reading: how thoughts are told from answers.
    """

    where: str
    conditions: list[str]
    problems: list[str]
    correct_CRN: NDArray[np.float64]
    samples: dict[str, list[Sample]]
    size: int
    missing: int
    reading: Reading

    @classmethod
    def from_samples(
        cls, samples: Sequence[Sample], wanted: Mapping[str, Any], problem_count: int, where: str, reading: Reading
    ) -> "_SampleGrid":
        """Arrange samples; ``wanted`` is the task's entry in the settings, with ``problem_count`` problems requested.

        Raises:
            UserError: two samples of one condition, run and problem.
        """
        conditions = list(wanted["arms"])
        row_of = {condition: row for row, condition in enumerate(conditions)}
        # Sorted, because samples are stored as they arrive and resampling goes by position.
        problems = sorted({sample.problem for sample in samples}, key=_natural_order)
        column_of = {problem: column for column, problem in enumerate(problems)}
        correct = np.full((len(conditions), int(wanted["runs"]), len(problems)), np.nan)
        by_condition: dict[str, list[Sample]] = {condition: [] for condition in conditions}
        for sample in samples:
            index = row_of[sample.persona], sample.run, column_of[sample.problem]
            if not np.isnan(correct[index]):
                raise UserError(
                    f"{where}: two samples of {sample.sample_id} under different prompts", "keep one of them"
                )
            correct[index] = sample.status == "correct"
            by_condition[sample.persona].append(sample)
        size = len(conditions) * correct.shape[1] * problem_count
        return cls(where, conditions, problems, correct, by_condition, size, size - len(samples), reading)

    def results(self, label: str, task: str, model: str, adapter: str | None) -> Results:
        """Return the results on the complete problems, or raise if there is none or only one persona."""
        complete = np.flatnonzero(~np.isnan(self.correct_CRN).any(axis=(0, 1)))
        personas = [condition for condition in self.conditions if condition != NO_PERSONA]
        if len(personas) < 2 or not len(complete):
            raise UserError(
                f"{self.where}: {len(personas)} personas and {len(complete)} whole problems; at least two and one are "
                "needed",
                "give its eval/run.py command again, with more personas",
            )
        problems = [self.problems[column] for column in complete]
        ids = set(problems)
        samples = {
            condition: [sample for sample in own if sample.problem in ids] for condition, own in self.samples.items()
        }
        golds = {sample.problem: sample.gold for own in samples.values() for sample in own}
        correct_CRN = self.correct_CRN[:, :, complete]
        conditions, runs, _ = self.correct_CRN.shape
        return Results(
            label=label,
            task=task,
            model=model,
            adapter=adapter,
            personas=tuple(personas),
            problems=tuple(problems),
            golds=tuple(golds[problem] for problem in problems),
            correct_PRN=correct_CRN[[self.conditions.index(persona) for persona in personas]],
            control_RN=correct_CRN[self.conditions.index(NO_PERSONA)] if NO_PERSONA in self.conditions else None,
            status_counts={condition: count_statuses(own, self.reading) for condition, own in samples.items()},
            mark_counts=_count_marks(samples),
            mean_tokens={condition: _mean_tokens(own) for condition, own in samples.items()},
            dropped=self.size // (conditions * runs) - len(complete),
        )


def _natural_order(name: str) -> list[str | int]:
    """Return a sort key that puts gsm8k/test/9 before gsm8k/test/10."""
    return [int(part) if number % 2 else part for number, part in enumerate(re.split(r"(\d+)", name))]


def _count_marks(by_condition: Mapping[str, Sequence[Sample]]) -> dict[str, dict[str, int]] | None:
    counts = {
        condition: Counter(sample.mark for sample in samples if sample.mark)
        for condition, samples in by_condition.items()
    }
    # Correct completions stored before marks were recorded would otherwise count as not strict.
    unmarked = any(sample.status == "correct" and not sample.mark for rows in by_condition.values() for sample in rows)
    if unmarked or not any(counts.values()):
        return None
    return {condition: dict(marks) for condition, marks in counts.items()}


def _mean_tokens(samples: Sequence[Sample]) -> float:
    reported = [sample.completion_tokens for sample in samples if sample.completion_tokens is not None]
    return float(np.mean(reported)) if reported else float("nan")
