"""Measured rows of a paper table: worst, best, mean and PSS of every method, beside the paper's figures."""

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from io import StringIO
from pathlib import Path
from typing import Any

from permix_verl import statistics
from permix_verl.errors import UserError
from permix_verl.evaluation.analysis_types import nan_to_none
from permix_verl.evaluation.results import load_results
from permix_verl.fidelity.personagym.analysis import analyse_fidelity
from permix_verl.fidelity.personagym.scores import TOTAL, has_fidelity, read_fidelity
from permix_verl.fidelity.personagym.tasks import CONSISTENCY, TASKS
from permix_verl.inference.judges.config import read_judges
from permix_verl.paper.commands import PaperSettings, results_folder, run_folder
from permix_verl.paper.tables import FIDELITY_FILE, PAPER_MODEL, Method, PaperTable, paper_fidelity, paper_figures
from permix_verl.paper.token_budget import TrainingBudget, read_budget
from permix_verl.utils.files import write_atomic

_PAPER = ("worst", "best", "mean", "pss")


@dataclass(frozen=True)
class Cell:
    """One method on one task: accuracies in percent, PSS as a ratio, and its 95 % interval or ``None`` if refused."""

    worst: float
    best: float
    mean: float
    pss: float
    pss_interval: tuple[float, float] | None
    paper: Mapping[str, float] | None


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
    fidelity: Mapping[str, "Score"] = field(default_factory=dict)


@dataclass(frozen=True)
class Score:
    """PersonaGym score from 1 to 5 or ``None``, its 95 % interval or ``None`` if refused, and the paper's score."""

    score: float | None
    interval: tuple[float, float] | None
    paper: float | None


def read_rows(table: PaperTable, settings: PaperSettings, paper_file: Path) -> list[MethodRow]:
    """Read the results of every method.

    Args:
        paper_file: CSV with the paper's figures; used only for the paper's model.

    Raises:
        UserError: a method that is not evaluated, or incompletely.
    """
    compares = settings.model == PAPER_MODEL
    known = paper_figures(paper_file) if compares and paper_file.is_file() and table.tasks else {}
    faithful = paper_file.with_name(FIDELITY_FILE)
    scores = paper_fidelity(faithful) if compares and faithful.is_file() else {}
    rows = [_row(table, method, settings, known) for method in table.methods]
    if not (table.personagym and settings.judges):
        return rows
    return [
        replace(row, fidelity=_fidelity(method, settings, scores.get(method.row, {})))
        for method, row in zip(table.methods, rows, strict=True)
    ]


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


def write_table(rows: Sequence[MethodRow], table: PaperTable, settings: PaperSettings) -> list[Path]:
    """Write the table as Markdown, CSV and JSON; return the files."""
    folder, name = settings.out, f"table{table.number}"
    files = [folder / f"{name}{ending}" for ending in (".md", ".csv", ".json")]
    write_atomic(files[0], markdown(rows, table, settings))
    write_atomic(files[1], _csv(rows))
    document: dict[str, Any] = {"table": table.number, "model": settings.model, "seed": settings.seed}
    write_atomic(files[2], json.dumps({**document, "rows": [_row_json(row) for row in rows]}, indent=1) + "\n")
    return files


def _row_json(row: MethodRow) -> dict[str, Any]:
    fields = asdict(row)
    return {"arm": fields.pop("method"), **fields}


def markdown(rows: Sequence[MethodRow], table: PaperTable, settings: PaperSettings) -> str:
    """Format the table as Markdown, the paper's figures in brackets after ours."""
    tasks = list(dict.fromkeys(task for row in rows for task in row.cells))
    head = ["method", "steps", "tokens trained on", "of them sampled"]
    head += [f"{task}: {what}" for task in tasks for what in ("worst", "best", "mean", "PSS", "95 % of PSS")]
    faithful = [name for name in (*TASKS, TOTAL) if any(name in row.fidelity for row in rows)]
    if table.tasks:  # the paper's Tables 2 and 3 report this task only
        faithful = [name for name in faithful if name == CONSISTENCY]
    head += [f"PersonaGym: {name}" for name in faithful]
    lines = [
        f"# Table {table.number} of the paper, {table.about}",
        "",
        f"{settings.model}, seed {settings.seed}, {settings.runs} runs. Accuracies in percent over the 16 evaluation "
        "personas; PSS is worst over best. " + _paper_note(rows, settings.model),
        "",
        "| " + " | ".join(head) + " |",
        "|---" * len(head) + "|",
    ]
    for row in rows:
        budget = row.budget
        cells = [
            row.method,
            *([f"{budget.steps}", f"{budget.tokens:,}", f"{budget.generated:,}"] if budget else ["", "", ""]),
        ]
        for task in tasks:
            cell = row.cells[task]
            paper = cell.paper or {}
            cells += [_with_paper(getattr(cell, what), paper.get(what), 1) for what in ("worst", "best", "mean")]
            cells += [_with_paper(cell.pss, paper.get("pss"), 3)]
            cells += ["[{:.3f}, {:.3f}]".format(*cell.pss_interval) if cell.pss_interval else "refused"]
        cells += [_score_text(row.fidelity.get(name)) for name in faithful]
        lines.append("| " + " | ".join(cells) + " |")
    if table.difficulties:
        lines += ["", "The paper names release v6, but its figures fit the number of problems of v1 (docs/code.md)."]
    if table.personagym:
        lines += ["", _fidelity_note(settings)]
    return "\n".join(lines) + "\n"


def _paper_note(rows: Sequence[MethodRow], model: str) -> str:
    scores = [score.paper for row in rows for score in row.fidelity.values()]
    if any(scores) or any(cell.paper for row in rows for cell in row.cells.values()):
        return "In brackets: the paper's."
    return f"The paper's figures are for {PAPER_MODEL} and are not comparable with {model}, so they are left out."


def _score_text(score: Score | None) -> str:
    if score is None or score.score is None:
        return ""
    limits = "[{:.2f}, {:.2f}]".format(*score.interval) if score.interval else "(interval refused)"
    return f"{_with_paper(score.score, score.paper, 2)} {limits}"


def _fidelity_note(settings: PaperSettings) -> str:
    if not settings.judges:
        return "PersonaGym is not measured: no judge is set (JUDGE)."
    names = ", ".join(judge.label for judge in read_judges(settings.judges))
    return (
        f"PersonaGym: from 1 to 5, judged by {names}, in our scoring, with 95 % intervals over personas. Scores by "
        "other judges or on other questions, including the paper's, are not comparable."
    )


def _with_paper(ours: float, paper: float | None, digits: int) -> str:
    return f"{ours:.{digits}f}" + (f" ({paper:.{digits}f})" if paper is not None else "")


def _csv(rows: Sequence[MethodRow]) -> str:
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(
        [
            *("arm", "task", "steps", "tokens", "worst", "best", "mean", "pss"),
            *(f"paper_{name}" for name in _PAPER),
            *("score", "score_low", "score_high", "paper_score"),
        ]
    )
    for row in rows:
        budget = [row.budget.steps, row.budget.tokens] if row.budget else ["", ""]
        for task, cell in row.cells.items():
            paper = cell.paper or {}
            ours = [f"{value:.4f}" for value in (cell.worst, cell.best, cell.mean, cell.pss)]
            writer.writerow(
                [row.method, task, *budget, *ours, *(paper.get(name, "") for name in _PAPER), "", "", "", ""]
            )
        for name, score in row.fidelity.items():
            limits = score.interval or ("", "")
            values = ["" if value is None else value for value in (score.score, *limits, score.paper)]
            writer.writerow([row.method, f"PersonaGym: {name}", *budget, *[""] * 8, *values])
    return text.getvalue()
