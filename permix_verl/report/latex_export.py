"""Export of accuracy and PSS as a LaTeX table, in the layout of the paper's Table 2."""

import re
from collections.abc import Mapping

from permix_verl.evaluation.analysis_types import ModelAnalysis, TaskAnalysis
from permix_verl.report import formatting as fmt

_LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
}


def latex(text: str) -> str:
    """Escape text for LaTeX."""
    return "".join(_LATEX.get(letter, letter) for letter in fmt.one_line(text))


def table2_latex(tasks: Mapping[str, TaskAnalysis]) -> str:
    """Write a table in the layout of the paper's Table 2: one row per model, four columns per task."""
    labels = list(dict.fromkeys(label for task in tasks.values() for label in task.models))
    heads = [rf"\multicolumn{{4}}{{c}}{{{latex(name)}}}" for name in tasks]
    rules = [rf"\cmidrule(lr){{{2 + 4 * number}-{5 + 4 * number}}}" for number in range(len(tasks))]
    rows = [[label, *(cell for task in tasks.values() for cell in _cells(task.models.get(label)))] for label in labels]
    # A LaTeX label takes letters, digits and hyphens only.
    key = re.sub(r"[^a-z0-9]+", "-", "-".join(tasks).lower()).strip("-") or "tasks"
    lines = [
        "% PSS: ratio of means (each persona's accuracy averaged over the runs, then worst over best).",
        r"% Needs \usepackage{booktabs} and \usepackage[T1]{fontenc}.",
        r"\begin{table}[t]",
        r"\centering",
        rf"\begin{{tabular}}{{l{'rrrr' * len(tasks)}}}",
        r"\toprule",
        " & ".join(["", *heads]).strip() + r" \\",
        " ".join(rules),
        " & ".join(["Model", *["Worst", "Best", "Acc. Mean", "PSS"] * len(tasks)]) + r" \\",
        r"\midrule",
        *(" & ".join([latex(row[0]), *row[1:]]) + r" \\" for row in rows),
        r"\bottomrule",
        r"\end{tabular}",
        r"\caption{Accuracy (\%) and persona stability (PSS, ratio of means).}",
        rf"\label{{tab:pss-{key}}}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _cells(model: ModelAnalysis | None) -> list[str]:
    if model is None:
        return ["--"] * 4
    accuracies = (model.worst.accuracy, model.best.accuracy, model.mean.estimate)
    cells = (*map(fmt.percent, accuracies), fmt.ratio(model.pss_ratio_of_means))
    return [cell.replace(fmt.MISSING, "--") for cell in cells]
