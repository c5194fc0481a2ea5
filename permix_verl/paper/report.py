"""The paper's rows, measured: worst, best, mean and PSS of every arm, and the paper's figures where they compare."""

import csv
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from io import StringIO
from pathlib import Path
from typing import Any

from permix_verl import statistics
from permix_verl.errors import UserError
from permix_verl.evaluation.results import load_results
from permix_verl.fidelity.personagym.analysis import analyse_fidelity
from permix_verl.fidelity.personagym.scores import TOTAL, has_fidelity, read_fidelity
from permix_verl.fidelity.personagym.tasks import CONSISTENCY, TASKS
from permix_verl.inference.judges.config import read_judges
from permix_verl.paper.commands import Settings, results_folder, run_folder
from permix_verl.paper.tables import FIDELITY_FILE, PAPER_MODEL, Arm, PaperTable, paper_fidelity, paper_figures
from permix_verl.paper.token_budget import Budget, budget_of
from permix_verl.utils.files import write_whole

_PAPER = ("worst", "best", "mean", "pss")


@dataclass(frozen=True)
class Cell:
    """One arm on one task: accuracies in percent, PSS a ratio with its 95 % interval, or ``None`` if refused."""

    worst: float
    best: float
    mean: float
    pss: float
    pss_interval: tuple[float, float] | None
    paper: Mapping[str, float] | None


@dataclass(frozen=True)
class Row:
    """One arm.

    Attributes:
        budget: ``None`` of the base.
        cells: by task.
        fidelity: PersonaGym scores by its tasks and "total", each with its 95 % interval, and the paper's.
    """

    arm: str
    budget: Budget | None
    cells: Mapping[str, Cell]
    fidelity: Mapping[str, "Score"] = field(default_factory=dict)


@dataclass(frozen=True)
class Score:
    """A PersonaGym score from 1 to 5 or ``None``, its 95 % interval or ``None`` if refused, and the paper's."""

    score: float | None
    interval: tuple[float, float] | None
    paper: float | None


def read_rows(table: PaperTable, settings: Settings, paper_file: Path) -> list[Row]:
    """Read every arm's results.

    Raises:
        UserError: an arm that is not evaluated, or not whole.
    """
    compares = settings.model == PAPER_MODEL
    known = paper_figures(paper_file) if compares and paper_file.is_file() and table.tasks else {}
    faithful = paper_file.with_name(FIDELITY_FILE)
    scores = paper_fidelity(faithful) if compares and faithful.is_file() else {}
    rows = [_row(table, arm, settings, known) for arm in table.arms]
    if not (table.personagym and settings.judges):
        return rows
    return [
        replace(row, fidelity=_fidelity(arm, settings, scores.get(arm.row, {})))
        for arm, row in zip(table.arms, rows, strict=True)
    ]


def _fidelity(arm: Arm, settings: Settings, paper: Mapping[str, float]) -> dict[str, Score]:
    folder = results_folder(arm, settings)
    if not has_fidelity(folder):
        raise UserError(f"{folder} has no PersonaGym part; give the same command again")
    one = read_fidelity(folder, [judge.label for judge in read_judges(settings.judges)])
    found = analyse_fidelity([one], seed=settings.seed)["models"][one.label]["scorings"]
    if "fixed" not in found:
        raise UserError(f"{folder}: no judge has replied; give the same command again")
    scores = {}
    for name, of in found["fixed"]["tasks"].items():
        interval = of["together"]
        limits = None if interval["low"] is None else (interval["low"], interval["high"])
        estimate = None if math.isnan(interval["estimate"]) else interval["estimate"]
        scores[name] = Score(estimate, limits, paper.get(name))
    return scores


def _row(
    table: PaperTable,
    arm: Arm,
    settings: Settings,
    known: Mapping[tuple[str, str, str, str, str], Mapping[str, float]],
) -> Row:
    folder = results_folder(arm, settings)
    results = {result.task: result for result in load_results(folder)} if settings.tasks else {}
    cells = {}
    columns = [column for task in settings.tasks for column in table.columns(_name(task), list(results)) or [task]]
    for task in columns:
        if task not in results:
            raise UserError(f"{results_folder(arm, settings)} has no task {task}; give the same command again")
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
            paper=known.get((*arm.row, task)),
        )
    return Row(arm.label, budget_of(run_folder(arm, settings)) if arm.recipe else None, cells)


def _name(task: str) -> str:
    """Without its source."""
    return task.partition("=")[0]


def write_table(rows: Sequence[Row], table: PaperTable, settings: Settings) -> list[Path]:
    """Write the table as Markdown, CSV and JSON."""
    folder, name = settings.out, f"table{table.number}"
    files = [folder / f"{name}{ending}" for ending in (".md", ".csv", ".json")]
    write_whole(files[0], markdown(rows, table, settings))
    write_whole(files[1], _csv(rows))
    described: dict[str, Any] = {"table": table.number, "model": settings.model, "seed": settings.seed}
    write_whole(files[2], json.dumps({**described, "rows": [asdict(row) for row in rows]}, indent=1) + "\n")
    return files


def markdown(rows: Sequence[Row], table: PaperTable, settings: Settings) -> str:
    """The table for people; the paper's figures stand in brackets behind ours."""
    tasks = list(dict.fromkeys(task for row in rows for task in row.cells))
    head = ["arm", "steps", "tokens trained on", "of them sampled"]
    head += [f"{task}: {what}" for task in tasks for what in ("worst", "best", "mean", "PSS", "95 % of PSS")]
    faithful = [name for name in (*TASKS, TOTAL) if any(name in row.fidelity for row in rows)]
    if table.tasks:  # the paper's Tables 2 and 3 have this task only
        faithful = [name for name in faithful if name == CONSISTENCY]
    head += [f"PersonaGym: {name}" for name in faithful]
    lines = [
        f"# Table {table.number} of the paper, {table.about}",
        "",
        f"{settings.model}, seed {settings.seed}, {settings.runs} runs. Accuracies in percent over the 16 evaluation "
        "personas; PSS is worst over best. " + _comparison(rows, settings.model),
        "",
        "| " + " | ".join(head) + " |",
        "|---" * len(head) + "|",
    ]
    for row in rows:
        budget = row.budget
        cells = [
            row.arm,
            *([f"{budget.steps}", f"{budget.tokens:,}", f"{budget.generated:,}"] if budget else ["", "", ""]),
        ]
        for task in tasks:
            cell = row.cells[task]
            paper = cell.paper or {}
            cells += [_beside(getattr(cell, what), paper.get(what), 1) for what in ("worst", "best", "mean")]
            cells += [_beside(cell.pss, paper.get("pss"), 3)]
            cells += ["[{:.3f}, {:.3f}]".format(*cell.pss_interval) if cell.pss_interval else "refused"]
        cells += [_scored(row.fidelity.get(name)) for name in faithful]
        lines.append("| " + " | ".join(cells) + " |")
    if table.difficulties:
        lines += ["", "The paper names release v6, and its figures fit the number of problems of v1 (docs/code.md)."]
    if table.personagym:
        lines += ["", _about_fidelity(settings)]
    return "\n".join(lines) + "\n"


def _comparison(rows: Sequence[Row], model: str) -> str:
    scores = [score.paper for row in rows for score in row.fidelity.values()]
    if any(scores) or any(cell.paper for row in rows for cell in row.cells.values()):
        return "In brackets: the paper's."
    return f"The paper's figures are of {PAPER_MODEL}, so they do not stand beside these of {model}."


def _scored(score: Score | None) -> str:
    if score is None or score.score is None:
        return ""
    limits = "[{:.2f}, {:.2f}]".format(*score.interval) if score.interval else "(interval refused)"
    return f"{_beside(score.score, score.paper, 2)} {limits}"


def _about_fidelity(settings: Settings) -> str:
    if not settings.judges:
        return "PersonaGym is not measured: nobody is named who judges (JUDGE)."
    names = ", ".join(judge.label for judge in read_judges(settings.judges))
    return (
        f"PersonaGym: from 1 to 5, judged by {names}, in our scoring, with 95 % intervals over personas. Scores of "
        "other judges, or on other questions, do not compare with these, the paper's included."
    )


def _beside(ours: float, paper: float | None, digits: int) -> str:
    return f"{ours:.{digits}f}" + (f" ({paper:.{digits}f})" if paper is not None else "")


def _csv(rows: Sequence[Row]) -> str:
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
            writer.writerow([row.arm, task, *budget, *ours, *(paper.get(name, "") for name in _PAPER), "", "", "", ""])
        for name, score in row.fidelity.items():
            limits = score.interval or ("", "")
            values = ["" if value is None else value for value in (score.score, *limits, score.paper)]
            writer.writerow([row.arm, f"PersonaGym: {name}", *budget, *[""] * 8, *values])
    return text.getvalue()
