"""Assembly of the report's document from the analysis: sections, tables and figures in order."""

from collections.abc import Mapping, Sequence

from permix_verl.evaluation.analysis_pooled import PooledTask
from permix_verl.evaluation.analysis_types import ModelAnalysis, TaskAnalysis
from permix_verl.fidelity.personagym.scores import TOTAL
from permix_verl.fidelity.personagym.tasks import CONSISTENCY
from permix_verl.report import (
    category_tables,
    fidelity_tables,
    likelihood_tables,
    model_tables,
    pair_tables,
    pooled_tables,
    strict_tables,
    task_tables,
    tradeoff,
)
from permix_verl.report import formatting as fmt
from permix_verl.report.document import Block, Document, Picture, Section, Text
from permix_verl.report.from_csv import REASON
from permix_verl.report.guide import guide
from permix_verl.report.inputs import ReportAnalysis

Pictures = Mapping[str, list[Picture]]


def build_document(analysis: ReportAnalysis, pictures: Pictures) -> Document:
    """Build the whole report.

    Args:
        analysis: the result of ``inputs.analyse_inputs``.
        pictures: pictures by task; see ``figures.svg.render_figures``.
    """
    tasks, fidelity = analysis.accuracy.tasks, analysis.fidelity
    models = dict.fromkeys([*(label for task in tasks.values() for label in task.models), *fidelity.models])
    intro = Text(
        f"{fmt.pluralize(len(models), 'model')} on {fmt.pluralize(len(tasks), 'task')}: {', '.join(tasks)}. "
        f"Random choices (splits, permutations, bootstraps): seed {analysis.accuracy.seed}; "
        f"{analysis.accuracy.resamples} draws for each test of invariance. "
        "Figures are in report.html, every number in report.json, tables for spreadsheets in summary.csv and "
        "personas.csv (accuracies there are fractions), the layout of the paper's Table 2 in table2.tex."
        + (" Methods pooled over training seeds are in pooled.csv too." if analysis.pooled else "")
        + (
            " Accuracies by category of persona are in categories.csv and categories.tex too."
            if any(model.categories for task in tasks.values() for model in task.models.values())
            else ""
        )
    )
    tradeoff_section = tradeoff.section(_tradeoff_points(analysis), MEASURES, MEASURES_NOTE)
    sections = [_task(name, task, pictures.get(name, []), analysis.pooled.get(name)) for name, task in tasks.items()]
    fidelity_sections = fidelity_tables.sections(fidelity)
    return Document(
        "Persona robustness",
        [intro],
        [
            *([tradeoff_section] if tradeoff_section else []),
            *sections,
            *fidelity_sections,
            *likelihood_tables.sections(analysis.likelihood),
            guide(pooled=bool(analysis.pooled)),
        ],
    )


MEASURES = (
    tradeoff.Measure(CONSISTENCY, "Persona Consistency (1 to 5)", fidelity_tables.score),
    tradeoff.Measure(TOTAL, "mean of PersonaGym's tasks", fidelity_tables.score),
)
MEASURES_NOTE = "Fidelity is PersonaGym's Persona Consistency, as in the paper's Tables 2 and 3, in our scoring."


def _tradeoff_points(analysis: ReportAnalysis) -> list[tradeoff.Point]:
    points = []
    for label, fidelity in analysis.fidelity.models.items():
        scoring = fidelity.scorings.get("fixed")
        if scoring is None:
            continue
        robustness = {
            name: tradeoff.TaskRobustness(
                model.worst.accuracy, model.mean.estimate, model.pss_ratio_of_means, model.pss_interval
            )
            for name, task in analysis.accuracy.tasks.items()
            if (model := task.models.get(label)) and not model.refused
        }
        measured = {name: task.together for name, task in scoring.tasks.items() if name in (CONSISTENCY, TOTAL)}
        points.append(tradeoff.Point(label, label, robustness, {"": measured}))
    return points


def _task(name: str, task: TaskAnalysis, pictures: Sequence[Picture], pooled: PooledTask | None) -> Section:
    models = task.models
    by_name = {picture.name.split("-", 1)[1]: picture for picture in pictures}

    def figure(*names: str) -> list[Block]:
        return [by_name[name] for name in names if name in by_name]

    categories = category_tables.category_blocks(models)
    parts = [
        *([pooled_tables.pooled_section(pooled)] if pooled else []),
        Section(
            "Accuracy and PSS",
            [
                task_tables.accuracy_table(models),
                *strict_tables.strict_blocks(models),
                *figure("ranges", "pss", "personas"),
            ],
        ),
        *([Section("By category of persona", categories)] if categories else []),
        Section(
            "PSS against that of a persona-invariant model", [*task_tables.invariance_blocks(models), *figure("runs")]
        ),
        Section("Worst and best, and what one persona does", [task_tables.cross_fitted_table(models)]),
        Section("Without a floor", [task_tables.near_zero_table(models)]),
        Section("Pairs of models", _pairs(task)),
        Section("Best of k personas", [task_tables.best_of_k_table(models), *figure("best-of-k")]),
        Section("Closed form", _closed_form(models, figure("closed-form"))),
        Section("Every persona", [model_tables.personas_table(label, model) for label, model in models.items()]),
    ]
    conclusions = [task_tables.conclusion_text(label, model) for label, model in models.items()]
    return Section(f"Task {name}", [*_merge_untested(conclusions), task_tables.inputs_table(models)], parts)


def _merge_untested(conclusions: list[Text]) -> list[Text]:
    """Merge the lines of all models whose tests are refused because they come from a CSV file."""
    untested = [line for line in conclusions if REASON in line.text]
    if len(untested) < 2:
        return conclusions
    merged = Text(f"Refused: {REASON}.", f"{len(untested)} models: not tested.", conclusion=True)
    return [*(line for line in conclusions if line not in untested), merged]


def _pairs(task: TaskAnalysis) -> list[Block]:
    blocks: list[Block] = [pair_tables.pairs_table(task.pairs)] if task.pairs else []
    from_csv = [label for label, model in task.models.items() if model.refused]
    if from_csv and len(task.models) > 1:
        blocks.append(Text(f"Pairs with {fmt.join_labels(from_csv, task.models)} are refused: {REASON}."))
    return blocks or [Text("Only one model on this task.")]


def _closed_form(models: Mapping[str, ModelAnalysis], figures: list[Block]) -> list[Block]:
    sentence = Text(
        "Every model is treated as if it were the base model that the training starts from, and beta is a "
        "sequence-level KL coefficient in units of the reward: these figures say what the theory predicts from a "
        "model's answers, not what a trained model scores."
    )
    tables = [model_tables.closed_form_table(label, model) for label, model in models.items() if model.theory]
    without = [label for label, model in models.items() if not model.theory]
    refused: list[Block] = [Text(f"Refused for {fmt.join_labels(without, models)}: {REASON}.")] if without else []
    return [sentence, *refused, *figures, *tables] if tables else refused
