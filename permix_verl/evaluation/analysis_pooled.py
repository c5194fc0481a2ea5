"""Analysis of methods trained with several seeds: their models' figures pooled, and differences of two methods.

Letters in names: S training seeds (one model each), P personas, R runs, N problems, B resamples.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from permix_verl import statistics
from permix_verl.errors import UserError
from permix_verl.evaluation.analysis import describe_gold_mismatch
from permix_verl.evaluation.results import Results
from permix_verl.seeding import derive_seed
from permix_verl.statistics import Interval, PooledEstimate, SeedResamples
from permix_verl.statistics.seed_resamples import Quantity


@dataclass(frozen=True, slots=True, kw_only=True)
class PooledMethod:
    """Figures of one method on one task, averaged over its models.

    Attributes:
        models: labels of the results folders, one for each training seed, in the order given.
        personas, runs, problems: numbers for each model.
        worst, best, mean: the smallest and largest accuracy of a model's personas, and their mean.
        pss: each model's ratio of its worst and best accuracy.
    """

    models: tuple[str, ...]
    personas: int
    runs: int
    problems: int
    worst: PooledEstimate
    best: PooledEstimate
    mean: PooledEstimate
    pss: PooledEstimate

    def quantities(self) -> dict[str, PooledEstimate]:
        """Return the four estimates by name."""
        return {"worst": self.worst, "best": self.best, "mean": self.mean, "pss": self.pss}


@dataclass(frozen=True, slots=True)
class MethodDifference:
    """Differences of two methods on one task (first minus second), the seeds unpaired and the problems shared.

    Attributes:
        first, second: names of the methods.
        refused: the reason for refusing the comparison; ``None`` if there is one.
        worst, mean, pss: ``None`` if refused.
    """

    first: str
    second: str
    refused: str | None = None
    worst: Interval | None = None
    mean: Interval | None = None
    pss: Interval | None = None

    def quantities(self) -> dict[str, Interval]:
        """Return the differences by name; none if refused."""
        named = {"worst": self.worst, "mean": self.mean, "pss": self.pss}
        return {name: interval for name, interval in named.items() if interval is not None}


@dataclass(frozen=True, slots=True)
class PooledTask:
    """One task: its pooled methods by name, and all pairs of them."""

    methods: Mapping[str, PooledMethod]
    differences: Sequence[MethodDifference] = ()


Models = Sequence[Results]
"""One model for each training seed of a method, on one task."""


def group_models(results: Sequence[Results], methods: Mapping[str, Sequence[str]]) -> dict[str, dict[str, Models]]:
    """Group the models of each method on every task, and check that they are comparable.

    Args:
        results: all models on all tasks.
        methods: name -> labels of the method's results folders, one for each training seed.

    Returns:
        Models by task and method.

    Raises:
        UserError: models of one method that differ in tasks, personas, runs or problems, or have the same completions.
    """
    grouped: dict[str, dict[str, Models]] = {}
    for name, labels in methods.items():
        for task, models in _models_by_task(name, labels, results).items():
            grouped.setdefault(task, {})[name] = models
    return grouped


def pool_methods(grouped: Mapping[str, Mapping[str, Models]], *, seed: int) -> dict[str, PooledTask]:
    """Pool the models of each method on every task, and compare the methods.

    Args:
        grouped: the result of :func:`group_models`.
        seed: seed from which that of the resamples is derived.

    Returns:
        Pooled figures by task.
    """
    return {task: _pool_task(task, methods, seed) for task, methods in grouped.items()}


def _models_by_task(name: str, labels: Sequence[str], results: Sequence[Results]) -> dict[str, Models]:
    tasks: dict[str, list[Results]] = {}
    for label in labels:
        own = [result for result in results if result.label == label]
        if not own:
            raise UserError(f"{name}: results folder {label} holds no samples", "run eval/run.py into it first")
        for result in own:
            tasks.setdefault(result.task, []).append(result)
    for task, models in tasks.items():
        if len(models) < len(labels):
            missing = next(label for label in labels if label not in [model.label for model in models])
            raise UserError(
                f"{name}: results folder {missing} has no task {task}, which {models[0].label} has",
                "evaluate every training seed on the same tasks",
            )
        for number, model in enumerate(models[1:], start=1):
            for earlier in models[:number]:
                _check_comparable(name, earlier, model)
    return dict(tasks)


def _check_comparable(name: str, first: Results, second: Results) -> None:
    """Refuse two models of one method that were not evaluated alike, or are one model."""
    where = f"{name}, task {first.task}"
    common = len(set(first.problems) & set(second.problems))
    if not common == len(first.problems) == len(second.problems):
        raise UserError(
            f"{where}: {first.label} has {len(first.problems)} whole problems and {second.label} "
            f"{len(second.problems)}, of which {common} are the same",
            "evaluate every training seed on the same problems (the same --limit), until no sample is missing",
        )
    if mismatch := describe_gold_mismatch(first, second, first.problems):
        # The message ends with its remedy.
        problem, _, remedy = mismatch.rpartition("; ")
        raise UserError(f"{where}: {first.label} and {second.label}: {problem}", remedy)
    shapes = [(sorted(model.personas), model.correct_PRN.shape[1]) for model in (first, second)]
    if shapes[0] != shapes[1]:
        personas, runs = zip(*((len(keys), number) for keys, number in shapes), strict=True)
        raise UserError(
            f"{where}: {first.label} has {personas[0]} personas and {runs[0]} runs, {second.label} {personas[1]} and "
            f"{runs[1]}, or other personas",
            "evaluate every training seed with the same --personas and --runs",
        )
    correct, other = (model.correct_PRN[np.argsort(model.personas)] for model in (first, second))
    if correct.std() > 0 and np.array_equal(correct, other):
        raise UserError(
            f"{where}: {first.label} and {second.label} are right and wrong in the same {correct.size} samples, so "
            "they are one model",
            "give models of different training seeds",
        )


def _pool_task(task: str, methods: Mapping[str, Models], seed: int) -> PooledTask:
    # One seed for all methods of a task: their resamples of the problems are the same.
    derived = derive_seed("permix.pooled", seed, task)
    resampled = {
        name: statistics.resample_seeds([model.correct_PRN for model in models], seed=derived)
        for name, models in methods.items()
    }

    def difference(first: str, second: str) -> MethodDifference:
        if reason := _different_problems(methods[first][0], methods[second][0]):
            return MethodDifference(first, second, refused=reason)
        worst, mean, pss = (
            statistics.pooled_difference(resampled[first][name], resampled[second][name])
            for name in ("worst", "mean", "pss")
        )
        return MethodDifference(first, second, None, worst, mean, pss)

    return PooledTask(
        {name: _pool_method(models, resampled[name]) for name, models in methods.items()},
        tuple(difference(first, second) for first, second in combinations(methods, 2)),
    )


def _pool_method(models: Models, resampled: Mapping[Quantity, SeedResamples]) -> PooledMethod:
    personas, runs, problems = models[0].correct_PRN.shape
    pooled = {name: statistics.pool_seeds(noise) for name, noise in resampled.items()}
    return PooledMethod(
        models=tuple(model.label for model in models),
        personas=personas,
        runs=runs,
        problems=problems,
        worst=pooled["worst"],
        best=pooled["best"],
        mean=pooled["mean"],
        pss=pooled["pss"],
    )


def _different_problems(first: Results, second: Results) -> str | None:
    """Return the reason why two methods are not compared, or ``None``."""
    if set(first.problems) != set(second.problems) or set(first.personas) != set(second.personas):
        return "the two methods have other problems or personas"
    runs = first.correct_PRN.shape[1], second.correct_PRN.shape[1]
    if runs[0] != runs[1]:
        return f"{runs[0]} runs against {runs[1]}, which alone moves worst, best and PSS"
    return describe_gold_mismatch(first, second, first.problems) or None
