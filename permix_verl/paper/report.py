"""A paper table as Markdown, CSV and JSON: worst, best, mean and PSS of every method, beside the paper's figures."""

import csv
import json
from collections.abc import Sequence
from dataclasses import asdict
from io import StringIO
from pathlib import Path
from typing import Any

from permix_verl.fidelity.personagym.scores import TOTAL
from permix_verl.fidelity.personagym.tasks import CONSISTENCY, TASKS
from permix_verl.inference.judges.config import read_judges
from permix_verl.paper.rows import FIGURES, Cell, MethodRow, Range, Score
from permix_verl.paper.settings import PaperSettings
from permix_verl.paper.tables import PAPER_MODEL, PaperTable
from permix_verl.utils.files import write_atomic


def write_table(rows: Sequence[MethodRow], table: PaperTable, settings: PaperSettings) -> list[Path]:
    """Write the table as Markdown, CSV and JSON; return the files."""
    folder, name = settings.out, f"table{table.number}"
    files = [folder / f"{name}{ending}" for ending in (".md", ".csv", ".json")]
    write_atomic(files[0], markdown(rows, table, settings))
    write_atomic(files[1], _csv(rows, settings.seeds))
    document: dict[str, Any] = {"table": table.number, "model": settings.model, "seed": settings.seed}
    if settings.seeds > 1:
        document["seeds"] = [one.seed for one in settings.each_seed()]
    write_atomic(files[2], json.dumps({**document, "rows": [_row_json(row) for row in rows]}, indent=1) + "\n")
    return files


def _row_json(row: MethodRow) -> dict[str, Any]:
    fields = asdict(row)
    for cell in fields["cells"].values():
        if not cell["ranges"]:  # one seed
            del cell["ranges"]
    for score in fields["fidelity"].values():
        if score["range"] is None:
            del score["range"]
    return {"arm": fields.pop("method"), **fields}


def markdown(rows: Sequence[MethodRow], table: PaperTable, settings: PaperSettings) -> str:
    """Format the table as Markdown, the paper's figures in brackets after ours."""
    tasks = list(dict.fromkeys(task for row in rows for task in row.cells))
    figures = ["worst", "best", "mean", "PSS", *(["95 % of PSS"] if settings.seeds == 1 else [])]
    head = ["method", "steps", "tokens trained on", "of them sampled"]
    head += [f"{task}: {what}" for task in tasks for what in figures]
    faithful = [name for name in (*TASKS, TOTAL) if any(name in row.fidelity for row in rows)]
    if table.tasks:  # the paper's Tables 2 and 3 report this task only
        faithful = [name for name in faithful if name == CONSISTENCY]
    head += [f"PersonaGym: {name}" for name in faithful]
    lines = [
        f"# Table {table.number} of the paper, {table.about}",
        "",
        f"{settings.model}, {_seeds(settings)}, {settings.runs} runs. Accuracies in percent over the 16 evaluation "
        f"personas; PSS is worst over best. {_range_note(settings)}{_paper_note(rows, settings.model)}",
        "",
        "| " + " | ".join(head) + " |",
        "|---" * len(head) + "|",
    ]
    for row in rows:
        cells = [row.method, *_budget_texts(row)]
        cells += [text for task in tasks for text in _cell_texts(row.cells[task])]
        cells += [_score_text(row.fidelity.get(name)) for name in faithful]
        lines.append("| " + " | ".join(cells) + " |")
    if table.difficulties:
        lines += ["", "The paper names release v6, but its figures fit the number of problems of v1 (docs/code.md)."]
    if table.personagym:
        lines += ["", _fidelity_note(settings)]
    return "\n".join(lines) + "\n"


def _seeds(settings: PaperSettings) -> str:
    if settings.seeds == 1:
        return f"seed {settings.seed}"
    return f"seeds {settings.seed} to {settings.seed + settings.seeds - 1}"


def _range_note(settings: PaperSettings) -> str:
    if settings.seeds == 1:
        return ""
    return "A figure is the mean of the seeds' values, with the least and the largest of these behind it. "


def _budget_texts(row: MethodRow) -> list[str]:
    budget = row.budget
    return [f"{budget.steps}", f"{budget.tokens:,}", f"{budget.generated:,}"] if budget else ["", "", ""]


def _cell_texts(cell: Cell) -> list[str]:
    paper = cell.paper or {}
    texts = [
        _figure(getattr(cell, name), cell.ranges.get(name), paper.get(name), 3 if name == "pss" else 1)
        for name in FIGURES
    ]
    if not cell.ranges:
        texts.append("[{:.3f}, {:.3f}]".format(*cell.pss_interval) if cell.pss_interval else "refused")
    return texts


def _figure(ours: float, seeds: Range | None, paper: float | None, digits: int) -> str:
    text = f"{ours:.{digits}f}"
    if seeds:
        text += f", {seeds[0]:.{digits}f} to {seeds[1]:.{digits}f}"
    return text + (f" ({paper:.{digits}f})" if paper is not None else "")


def _paper_note(rows: Sequence[MethodRow], model: str) -> str:
    scores = [score.paper for row in rows for score in row.fidelity.values()]
    if any(scores) or any(cell.paper for row in rows for cell in row.cells.values()):
        return "In brackets: the paper's."
    return f"The paper's figures are for {PAPER_MODEL} and are not comparable with {model}, so they are left out."


def _score_text(score: Score | None) -> str:
    if score is None or score.score is None:
        return ""
    text = _figure(score.score, score.range, score.paper, 2)
    if score.range:
        return text
    return text + (" [{:.2f}, {:.2f}]".format(*score.interval) if score.interval else " (interval refused)")


def _fidelity_note(settings: PaperSettings) -> str:
    if not settings.judges:
        return "PersonaGym is not measured: no judge is set (JUDGE)."
    names = ", ".join(judge.label for judge in read_judges(settings.judges))
    limits = ", with 95 % intervals over personas" if settings.seeds == 1 else ""
    return (
        f"PersonaGym: from 1 to 5, judged by {names}, in our scoring{limits}. Scores by other judges or on other "
        "questions, including the paper's, are not comparable."
    )


def _csv(rows: Sequence[MethodRow], seeds: int) -> str:
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    ranged = [f"{name}_{end}" for name in (*FIGURES, "score") for end in ("least", "most")] if seeds > 1 else []
    writer.writerow(
        [
            *("arm", "task", "steps", "tokens"),
            *FIGURES,
            *(f"paper_{name}" for name in FIGURES),
            *("score", "score_low", "score_high", "paper_score"),
            *ranged,
        ]
    )
    for row in rows:
        budget = [row.budget.steps, row.budget.tokens] if row.budget else ["", ""]
        for task, cell in row.cells.items():
            paper = cell.paper or {}
            ours = [f"{getattr(cell, name):.4f}" for name in FIGURES]
            limits = [f"{end:.4f}" for name in FIGURES if name in cell.ranges for end in cell.ranges[name]]
            papers = [paper.get(name, "") for name in FIGURES]
            writer.writerow(
                [row.method, task, *budget, *ours, *papers, *[""] * 4, *limits, *([""] * 2 if ranged else [])]
            )
        for name, score in row.fidelity.items():
            known = (score.score, *(score.interval or ("", "")), score.paper)
            values = ["" if value is None else value for value in known]
            limits = [*[""] * 2 * len(FIGURES), *(score.range or ("", ""))] if ranged else []
            writer.writerow([row.method, f"PersonaGym: {name}", *budget, *[""] * 8, *values, *limits])
    return text.getvalue()
