"""Summary of the report for the terminal, as aligned text."""

from collections.abc import Sequence

from permix_verl.fidelity.personagym.scores import TOTAL
from permix_verl.fidelity.personagym.tasks import CONSISTENCY
from permix_verl.report import formatting as fmt
from permix_verl.report.fidelity_tables import score
from permix_verl.report.inputs import ReportAnalysis


def terminal_summary(analysis: ReportAnalysis) -> str:
    """Return the summary for the terminal, with aligned columns."""
    rows = [["task", "model", "worst (persona)", "best (persona)", "mean ± s.e.", "PSS", "p (sharp null)"]]
    models = [
        (name, label, model) for name, task in analysis.accuracy.tasks.items() for label, model in task.models.items()
    ]
    for task, label, model in models:
        interval, test = model.pss_interval, model.invariance.get("sharp")
        limits = fmt.limits(interval, fmt.ratio) if interval.refused is None else "refused"
        rows.append(
            [
                fmt.one_line(task),
                fmt.one_line(label),
                *(f"{fmt.percent(end.accuracy)} ({end.persona})" for end in (model.worst, model.best)),
                fmt.with_error(model.mean),
                f"{fmt.ratio(model.pss_ratio_of_means)} {limits}",
                fmt.p_value(test.p_value) if test else "refused",
            ]
        )
    fidelity = [["model", "scoring", "Persona Consistency", "all tasks"]]
    for label, judged in analysis.fidelity.models.items():
        for scoring, result in judged.scorings.items():
            scores = [result.tasks.get(name) for name in (CONSISTENCY, TOTAL)]
            cells = [fmt.with_limits(task.together if task else None, score) for task in scores]
            fidelity.append([fmt.one_line(label), scoring, *cells])
    return "\n\n".join(_aligned(table) for table in (rows, fidelity) if len(table) > 1)


def _aligned(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
