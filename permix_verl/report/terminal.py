"""Summary of the report for the terminal, as aligned text."""

from collections.abc import Callable, Sequence

from permix_verl.fidelity.personagym.scores import TOTAL
from permix_verl.fidelity.personagym.tasks import CONSISTENCY
from permix_verl.report import formatting as fmt
from permix_verl.report.fidelity_tables import score
from permix_verl.report.inputs import ReportAnalysis
from permix_verl.report.likelihood_tables import nats
from permix_verl.statistics import Interval


def terminal_summary(analysis: ReportAnalysis) -> str:
    """Return the summary for the terminal, with aligned columns."""
    rows = [["task", "model", "worst (persona)", "best (persona)", "mean ± s.e.", "PSS", "p (sharp null)"]]
    models = [
        (name, label, model) for name, task in analysis.accuracy.tasks.items() for label, model in task.models.items()
    ]
    for task, label, model in models:
        test = model.invariance.get("sharp")
        rows.append(
            [
                fmt.one_line(task),
                fmt.one_line(label),
                *(f"{fmt.percent(end.accuracy)} ({end.persona})" for end in (model.worst, model.best)),
                fmt.with_error(model.mean),
                f"{fmt.ratio(model.pss_ratio_of_means)} {_limits(model.pss_interval, fmt.ratio)}",
                fmt.p_value(test.p_value) if test else "refused",
            ]
        )
    pooled = [["task", "method", "seeds", "worst", "best", "mean", "PSS"]]
    for name, of_task in analysis.pooled.items():
        for label, method in of_task.methods.items():
            units = (fmt.percent, fmt.percent, fmt.percent, fmt.ratio)
            values = zip(method.quantities().values(), units, strict=True)
            cells = [f"{unit(value.interval.estimate)} {_limits(value.interval, unit)}" for value, unit in values]
            pooled.append([fmt.one_line(name), fmt.one_line(label), str(len(method.models)), *cells])
    fidelity = [["model", "scoring", "Persona Consistency", "all tasks"]]
    for label, judged in analysis.fidelity.models.items():
        for scoring, result in judged.scorings.items():
            scores = [result.tasks.get(name) for name in (CONSISTENCY, TOTAL)]
            cells = [fmt.with_limits(task.together if task else None, score) for task in scores]
            fidelity.append([fmt.one_line(label), scoring, *cells])
    likelihood = [["task", "model", "identified (%)", "log-likelihood ratio"]]
    for label, scored in analysis.likelihood.models.items():
        for task, found in scored.tasks.items():
            cells = [fmt.with_limits(found.rate), fmt.with_limits(found.margin, nats)]
            likelihood.append([fmt.one_line(task), fmt.one_line(label), *cells])
    return "\n\n".join(_aligned(table) for table in (rows, pooled, fidelity, likelihood) if len(table) > 1)


def _limits(interval: Interval, unit: Callable[[float | None], str]) -> str:
    """Format an interval without the reason for a refusal, which the report gives."""
    return fmt.limits(interval, unit) if interval.refused is None else "refused"


def _aligned(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
