"""Table of accuracy by category of persona, as in the paper's Figure 1: STEM, education, traits, jobs."""

from collections.abc import Iterator, Mapping

from permix_verl.evaluation.analysis_types import CategoryAnalysis, ModelAnalysis
from permix_verl.report import formatting as fmt
from permix_verl.report.document import Block, table

Models = Mapping[str, ModelAnalysis]


def category_rows(models: Models) -> Iterator[tuple[str, str, CategoryAnalysis]]:
    """Yield (category, label of the model, its analysis), the models of one category after one another."""
    names = dict.fromkeys(analysis.category for model in models.values() for analysis in model.categories)
    for name in names:
        for label, model in models.items():
            yield from ((name, label, analysis) for analysis in model.categories if analysis.category == name)


def category_blocks(models: Models) -> list[Block]:
    """Build the table of all models; empty if no category is known."""
    columns = (
        ("l", "category"),
        ("l", "model"),
        ("r", "personas"),
        ("r", "mean ± s.e. (%)"),
        ("l", "95 % interval of the mean"),
        ("l", "worst (%)"),
        ("l", "cross-fitted worst (%)"),
    )
    rows = [
        [
            category,
            label,
            str(len(analysis.personas)),
            fmt.with_error(analysis.mean),
            fmt.limits(analysis.mean),
            f"{fmt.percent(analysis.worst.accuracy)} ({analysis.worst.persona})",
            fmt.with_limits(analysis.cross_fitted_worst),
        ]
        for category, label, analysis in category_rows(models)
    ]
    caption = (
        "Accuracy by category of persona. The mean is over the category's personas. Intervals and standard errors are "
        "about other problems like these under the same personas; they do not cover other personas of the category."
    )
    return [table(caption, columns, rows)] if rows else []
