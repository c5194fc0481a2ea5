"""Measured rows of a table, pooled over seeds: the mean of the seeds' values, and the range of these."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import fmean
from typing import Any

from permix_verl import statistics
from permix_verl.errors import UserError
from permix_verl.evaluation.analysis_types import nan_to_none
from permix_verl.evaluation.results import load_results
from permix_verl.fidelity.personagym.analysis import analyse_fidelity
from permix_verl.fidelity.personagym.scores import has_fidelity, read_fidelity
from permix_verl.inference.judges.config import read_judges
from permix_verl.paper.settings import PaperSettings, results_folder, run_folder
from permix_verl.paper.tables import FIDELITY_FILE, PAPER_MODEL, Method, PaperTable, paper_fidelity, paper_figures
from permix_verl.paper.token_budget import TrainingBudget, read_budget

FIGURES = ("worst", "best", "mean", "pss")
"""Figures of a cell."""
Range = tuple[float, float]


@dataclass(frozen=True)
class Cell:
    """One method on one task: accuracies in percent, PSS as a ratio, and its 95 % interval or ``None`` if refused.

    Attributes:
        ranges: figure -> the least and the largest of the seeds' values; empty for one seed. With several there is no
            interval.
    """

    worst: float
    best: float
    mean: float
    pss: float
    pss_interval: tuple[float, float] | None
    paper: Mapping[str, float] | None
    ranges: Mapping[str, Range] = field(default_factory=dict)


@dataclass(frozen=True)
class Score:
    """PersonaGym score from 1 to 5 or ``None``, its 95 % interval or ``None`` if refused, and the paper's score.

    Attributes:
        range: the least and the largest of the seeds' scores; ``None`` for one seed. With several there is no interval.
    """

    score: float | None
    interval: tuple[float, float] | None
    paper: float | None
    range: Range | None = None


@dataclass(frozen=True)
class MethodRow:
    """Row of one method.

    Attributes:
        budget: training budget; ``None`` for the base.
        cells: cells by task.
        fidelity: PersonaGym scores by PersonaGym task and "total".
    """

    method: str
    budget: TrainingBudget | None
    cells: Mapping[str, Cell]
    fidelity: Mapping[str, Score] = field(default_factory=dict)


def read_rows(table: PaperTable, settings: PaperSettings, paper_file: Path) -> list[MethodRow]:
    """Read the results of every method, pooled over the seeds.

    Args:
        paper_file: CSV with the paper's figures; used only for the paper's model.

    Raises:
        UserError: a method that is not evaluated, or incompletely.
    """
    compares = settings.model == PAPER_MODEL
    known = paper_figures(paper_file) if compares and paper_file.is_file() and table.tasks else {}
    faithful = paper_file.with_name(FIDELITY_FILE)
    scores = paper_fidelity(faithful) if compares and faithful.is_file() else {}
    judged = table.personagym and settings.judges

    def read(method: Method, one: PaperSettings) -> MethodRow:
        row = _row(table, method, one, known)
        return replace(row, fidelity=_fidelity(method, one, scores.get(method.row, {}))) if judged else row

    return [pool([read(method, one) for one in settings.each_seed()]) for method in table.methods]


def _fidelity(method: Method, settings: PaperSettings, paper: Mapping[str, float]) -> dict[str, Score]:
    folder = results_folder(method, settings)
    if not has_fidelity(folder):
        raise UserError(f"{folder} has no PersonaGym results", "run the same command again")
    one = read_fidelity(folder, [judge.label for judge in read_judges(settings.judges)])
    scorings = analyse_fidelity([one], seed=settings.seed).models[one.label].scorings
    if "fixed" not in scorings:
        raise UserError(f"{folder}: no judge has replied", "run the same command again")
    scores = {}
    for name, task in scorings["fixed"].tasks.items():
        interval = task.together
        limits = None if interval.low is None or interval.high is None else (interval.low, interval.high)
        scores[name] = Score(nan_to_none(interval.estimate), limits, paper.get(name))
    return scores


def _row(
    table: PaperTable,
    method: Method,
    settings: PaperSettings,
    known: Mapping[tuple[str, str, str, str, str], Mapping[str, float]],
) -> MethodRow:
    folder = results_folder(method, settings)
    results = {result.task: result for result in load_results(folder)} if settings.tasks else {}
    cells = {}
    columns = [column for task in settings.tasks for column in table.columns(_name(task), list(results)) or [task]]
    for task in columns:
        if task not in results:
            raise UserError(f"{results_folder(method, settings)} has no task {task}", "run the same command again")
        correct_PRN = results[task].correct_PRN
        accuracy = statistics.persona_accuracy(correct_PRN)
        interval = statistics.pss_interval(correct_PRN, seed=settings.seed)
        limits = None if interval.low is None or interval.high is None else (interval.low, interval.high)
        cells[task] = Cell(
            worst=100 * float(accuracy.min()),
            best=100 * float(accuracy.max()),
            mean=100 * float(accuracy.mean()),
            pss=float(statistics.pss(accuracy)),
            pss_interval=limits,
            paper=known.get((*method.row, task)),
        )
    return MethodRow(method.label, read_budget(run_folder(method, settings)) if method.recipe else None, cells)


def _name(task: str) -> str:
    """Strip the source from a task."""
    return task.partition("=")[0]


def pool(rows: Sequence[MethodRow]) -> MethodRow:
    """Pool a method's rows of several seeds; a single row is returned as it is.

    Raises:
        UserError: seeds that were evaluated on different tasks.
    """
    first = rows[0]
    if len(rows) == 1:
        return first
    for row in rows:
        if row.cells.keys() != first.cells.keys() or row.fidelity.keys() != first.fidelity.keys():
            tasks = sorted({*row.cells, *row.fidelity} ^ {*first.cells, *first.fidelity})
            raise UserError(f"{first.method}: seeds differ in {', '.join(tasks)}", "run the same command again")
    return replace(
        first,
        budget=_pool_budgets([row.budget for row in rows if row.budget]),
        cells={task: _pool_cells([row.cells[task] for row in rows]) for task in first.cells},
        fidelity={name: _pool_scores([row.fidelity[name] for row in rows]) for name in first.fidelity},
    )


def _pool_cells(cells: Sequence[Cell]) -> Cell:
    values = {name: [float(getattr(cell, name)) for cell in cells] for name in FIGURES}
    means: dict[str, Any] = {name: fmean(seeds) for name, seeds in values.items()}
    ranges = {name: (min(seeds), max(seeds)) for name, seeds in values.items()}
    return replace(cells[0], **means, pss_interval=None, ranges=ranges)


def _pool_scores(scores: Sequence[Score]) -> Score:
    """Pool scores; a score that a seed lacks is ``None``, since a mean of the others would hide that."""
    seeds = [score.score for score in scores if score.score is not None]
    if len(seeds) < len(scores):
        return Score(None, None, scores[0].paper)
    return Score(fmean(seeds), None, scores[0].paper, (min(seeds), max(seeds)))


def _pool_budgets(budgets: Sequence[TrainingBudget]) -> TrainingBudget | None:
    """Return the mean budget in whole steps and tokens."""
    if not budgets:
        return None
    return TrainingBudget(
        round(fmean(budget.steps for budget in budgets)),
        round(fmean(budget.tokens for budget in budgets)),
        round(fmean(budget.generated for budget in budgets)),
    )
