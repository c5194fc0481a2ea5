"""Analysis of the report's inputs: results folders and CSV files of accuracies."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from permix_verl.errors import UserError
from permix_verl.evaluation.accuracy_csv import AccuracyTable, read_accuracies
from permix_verl.evaluation.analysis import analyse
from permix_verl.evaluation.analysis_pooled import PooledTask, group_models, pool_methods
from permix_verl.evaluation.analysis_types import Analysis, TaskAnalysis
from permix_verl.evaluation.results import load_results
from permix_verl.evaluation.sample_store import SampleStore
from permix_verl.fidelity.likelihood.analysis import LikelihoodAnalysis, analyse_likelihood
from permix_verl.fidelity.personagym.analysis import analyse_fidelity
from permix_verl.fidelity.personagym.analysis_types import FidelityAnalysis
from permix_verl.fidelity.personagym.scores import check_same_model, has_fidelity, read_fidelity
from permix_verl.inference.judges.store import FOLDER
from permix_verl.inference.model_exchange import refuse_mixed
from permix_verl.report.from_csv import analyse_table

MIN_RESAMPLES = 20
"""Fewest permutations for which a p-value can be 0.05 or less."""


@dataclass(frozen=True, slots=True)
class SeedGroup:
    """Results folders of one method, one for each training seed."""

    name: str
    folders: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class ReportAnalysis:
    """Everything that the report shows.

    Attributes:
        accuracy: tasks, with the models of results folders and of CSV files.
        fidelity: empty if no folder has judgements.
        pooled: methods pooled over training seeds, by task; empty if no group was given.
        likelihood: fidelity by likelihood; empty if no folder has log-likelihoods.
    """

    accuracy: Analysis
    fidelity: FidelityAnalysis
    pooled: Mapping[str, PooledTask] = field(default_factory=dict)
    likelihood: LikelihoodAnalysis = field(default_factory=LikelihoodAnalysis)


def analyse_inputs(
    inputs: Sequence[Path | SeedGroup],
    *,
    seed: int = 0,
    resamples: int = 2000,
    allow_incomplete: bool = False,
    judges: Sequence[str] | None = None,
) -> ReportAnalysis:
    """Analyse all inputs.

    Args:
        inputs: results folders, groups of them to pool as well, and CSV files of accuracies.
        seed: seed of the splits, permutations and bootstraps.
        resamples: permutations of each invariance test.
        allow_incomplete: leave out problems with missing samples instead of raising.
        judges: names of the judges of persona fidelity to include; ``None`` for all.

    Raises:
        UserError: a path that is neither a results folder nor a CSV file, missing samples, two models of one name on
            one task, groups of one name, folders of a group that were evaluated differently, too few resamples or a
            negative seed.
    """
    if resamples < MIN_RESAMPLES:
        raise UserError(
            f"--draws is {resamples}, too few for a p-value of 0.05 or less", f"give at least {MIN_RESAMPLES}"
        )
    if seed < 0:
        raise UserError(f"--seed is {seed}", "give 0 or more")
    groups = _groups(inputs)
    paths = [path for given in inputs for path in (given.folders if isinstance(given, SeedGroup) else (given,))]
    for path in paths:
        _check_path(path)
    # Read the CSV files first: they are fast to read, and their errors should not wait for the folders.
    tables = [read_accuracies(path) for path in paths if not path.is_dir()]
    folders = [path for path in paths if path.is_dir()]
    judged = [folder for folder in folders if has_fidelity(folder)]
    for folder in judged:
        check_same_model(folder)
    fidelity = analyse_fidelity([read_fidelity(folder, judges) for folder in judged], seed=seed)
    # A folder may contain judgements of fidelity only.
    sampled = [folder for folder in folders if folder not in judged or SampleStore(folder).has_samples()]
    results = [result for folder in sampled for result in load_results(folder, allow_incomplete=allow_incomplete)]
    names = [(result.task, result.label) for result in results]
    names += [(table.task, model) for table in tables for model in table.models]
    for task, model in names:
        if names.count((task, model)) > 1:
            raise UserError(f"two inputs for task {task} are named {model}", "rename one, or give each input once")
    grouped = group_models(results, groups)
    accuracy = analyse(results, seed=seed, resamples=resamples)
    return ReportAnalysis(
        _add_tables(accuracy, tables), fidelity, pool_methods(grouped, seed=seed), analyse_likelihood(folders)
    )


def _groups(inputs: Sequence[Path | SeedGroup]) -> dict[str, list[str]]:
    """Return the labels of each group's folders, which load_results takes from their names."""
    groups: dict[str, list[str]] = {}
    for given in inputs:
        if not isinstance(given, SeedGroup):
            continue
        if given.name in groups:
            raise UserError(f"two groups are named {given.name}", "list all folders of a method in one group")
        files = [folder for folder in given.folders if folder.is_file()]
        if files:
            raise UserError(f"{given.name}: {files[0]} is a file", "give results folders of eval/run.py to a group")
        groups[given.name] = [folder.resolve().name for folder in given.folders]
    return groups


def _add_tables(analysis: Analysis, tables: Sequence[AccuracyTable]) -> Analysis:
    """Add the models of CSV files to their tasks."""
    tasks = dict(analysis.tasks)
    for table in tables:
        task = tasks.get(table.task, TaskAnalysis())
        tasks[table.task] = replace(task, models={**task.models, **analyse_table(table)})
    return replace(analysis, tasks=tasks)


def _check_path(path: Path) -> None:
    if not path.exists():
        raise UserError(f"no such file or folder: {path}", "give results folders of eval/run.py, or CSV files")
    if not path.is_dir() and path.suffix.lower() != ".csv":
        raise UserError(
            f"{path} is neither a results folder nor a .csv file",
            "give a folder that eval/run.py wrote, or accuracies per persona as CSV",
        )
    for folder in (path, path / FOLDER) if path.is_dir() else ():
        refuse_mixed(folder, "report another folder")
