"""Export of accuracy and PSS as a LaTeX table, in the layout of the paper's Table 2."""

import re
from collections.abc import Mapping

from permix_verl.evaluation.analysis_types import CategoryAnalysis, ModelAnalysis, TaskAnalysis
from permix_verl.report import formatting as fmt
from permix_verl.report.category_tables import category_rows

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
        rf"\label{{tab:pss-{_key(tasks)}}}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def categories_latex(tasks: Mapping[str, TaskAnalysis]) -> str:
    """Write a table of accuracy by category of persona: one row per category and model, two columns per task.

    Empty if no category is known.
    """
    found = {
        (category, label): dict[str, CategoryAnalysis]()
        for task in tasks.values()
        for category, label, _ in category_rows(task.models)
    }
    for name, task in tasks.items():
        for category, label, analysis in category_rows(task.models):
            found[category, label][name] = analysis
    if not found:
        return ""
    shown = [name for name in tasks if any(name in of_row for of_row in found.values())]
    heads = [rf"\multicolumn{{2}}{{c}}{{{latex(name)}}}" for name in shown]
    rules = [rf"\cmidrule(lr){{{3 + 2 * number}-{4 + 2 * number}}}" for number in range(len(shown))]
    rows = [
        [latex(category), latex(label), *(cell for name in shown for cell in _category_cells(of_row.get(name)))]
        for (category, label), of_row in found.items()
    ]
    lines = [
        "% Means over a category's personas, with 95 % intervals about other problems under the same personas.",
        r"% Needs \usepackage{booktabs} and \usepackage[T1]{fontenc}.",
        r"\begin{table}[t]",
        r"\centering",
        rf"\begin{{tabular}}{{ll{'rr' * len(shown)}}}",
        r"\toprule",
        " & ".join(["", "", *heads]).strip() + r" \\",
        " ".join(rules),
        " & ".join(["Category", "Model", *["Mean", "Worst"] * len(shown)]) + r" \\",
        r"\midrule",
        *(" & ".join(row) + r" \\" for row in rows),
        r"\bottomrule",
        r"\end{tabular}",
        r"\caption{Accuracy (\%) by category of persona, with 95\,\% intervals over problems.}",
        rf"\label{{tab:categories-{_key(tasks)}}}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _category_cells(analysis: CategoryAnalysis | None) -> list[str]:
    if analysis is None:
        return ["--"] * 2
    mean = fmt.percent(analysis.mean.estimate)
    if analysis.mean.refused is None:
        mean += f" {fmt.limits(analysis.mean)}"
    return [mean, fmt.percent(analysis.worst.accuracy)]


def _key(tasks: Mapping[str, TaskAnalysis]) -> str:
    """Return the end of a LaTeX label, which takes letters, digits and hyphens only."""
    return re.sub(r"[^a-z0-9]+", "-", "-".join(tasks).lower()).strip("-") or "tasks"


def _cells(model: ModelAnalysis | None) -> list[str]:
    if model is None:
        return ["--"] * 4
    accuracies = (model.worst.accuracy, model.best.accuracy, model.mean.estimate)
    cells = (*map(fmt.percent, accuracies), fmt.ratio(model.pss_ratio_of_means))
    return [cell.replace(fmt.MISSING, "--") for cell in cells]
