"""Assembly of the report's document from the analysis: sections, tables and figures in order."""

from collections.abc import Mapping
from typing import Any

from permix_verl.fidelity.personagym.scores import TOTAL
from permix_verl.fidelity.personagym.tasks import CONSISTENCY
from permix_verl.report import fidelity_tables, model_tables, strict_tables, task_tables, tradeoff
from permix_verl.report import formatting as fmt
from permix_verl.report.document import Block, Document, Picture, Section, Text
from permix_verl.report.from_csv import REASON
from permix_verl.report.guide import guide

Pictures = Mapping[str, list[Picture]]


def build_document(analysis: Mapping[str, Any], pictures: Pictures) -> Document:
    """Build the whole report.

    Args:
        analysis: the result of ``inputs.analyse_inputs``.
        pictures: pictures by task; see ``figures.svg.render_figures``.
    """
    tasks = analysis["tasks"]
    fidelity = analysis.get("fidelity", {"models": {}, "pairs": []})
    analysis = {**analysis, "fidelity": fidelity}
    models = dict.fromkeys([*(label for entry in tasks.values() for label in entry["models"]), *fidelity["models"]])
    intro = Text(
        f"{fmt.counted(len(models), 'model')} on {fmt.counted(len(tasks), 'task')}: {', '.join(tasks)}. "
        f"Random choices (splits, permutations, bootstraps): seed {analysis['seed']}; "
        f"{analysis['draws']} draws for each test of invariance. "
        "Figures are in report.html, every number in report.json, tables for spreadsheets in summary.csv and "
        "personas.csv (accuracies there are fractions), the layout of the paper's Table 2 in table2.tex."
    )
    tradeoff_section = tradeoff.section(_tradeoff_points(analysis), MEASURES, MEASURES_NOTE)
    sections = [_task(task, entry, pictures.get(task, [])) for task, entry in tasks.items()]
    fidelity_sections = fidelity_tables.sections(fidelity)
    return Document(
        "Persona robustness",
        [intro],
        [*([tradeoff_section] if tradeoff_section else []), *sections, *fidelity_sections, guide()],
    )


MEASURES = (
    tradeoff.Measure(CONSISTENCY, "Persona Consistency (1 to 5)", fidelity_tables.score),
    tradeoff.Measure(TOTAL, "mean of PersonaGym's tasks", fidelity_tables.score),
)
MEASURES_NOTE = "Fidelity is PersonaGym's Persona Consistency, as in the paper's Tables 2 and 3, in our scoring."


def _tradeoff_points(analysis: Mapping[str, Any]) -> list[tradeoff.Point]:
    models = analysis["fidelity"]["models"]
    points = []
    for label, model in models.items():
        scoring = model["scorings"].get("fixed")
        if scoring is None:
            continue
        robustness = {
            task: tradeoff.TaskRobustness(
                one["worst"]["accuracy"], one["mean"]["estimate"], one["pss_ratio_of_means"], one["pss_interval"]
            )
            for task, entry in analysis["tasks"].items()
            if (one := entry["models"].get(label)) and not one.get("refused")
        }
        measured = {name: of["together"] for name, of in scoring["tasks"].items() if name in (CONSISTENCY, TOTAL)}
        points.append(tradeoff.Point(label, label, robustness, {"": measured}))
    return points


def _task(task: str, entry: Mapping[str, Any], pictures: list[Picture]) -> Section:
    models = entry["models"]
    by_name = {picture.name.split("-", 1)[1]: picture for picture in pictures}

    def figure(*names: str) -> list[Block]:
        return [by_name[name] for name in names if name in by_name]

    parts = [
        Section(
            "Accuracy and PSS",
            [task_tables.accuracy(models), *strict_tables.strict(models), *figure("ranges", "pss", "personas")],
        ),
        Section("PSS against that of a persona-invariant model", [*task_tables.invariance(models), *figure("runs")]),
        Section("Worst and best, and what one persona does", [task_tables.cross_fitted(models)]),
        Section("Without a floor", [task_tables.near_zero(models)]),
        Section("Pairs of models", _pairs(entry)),
        Section("Best of k personas", [task_tables.best_of_k(models), *figure("best-of-k")]),
        Section("Closed form", _closed_form(models, figure("closed-form"))),
        Section("Every persona", [model_tables.personas(label, model) for label, model in models.items()]),
    ]
    conclusions = [task_tables.conclusion(label, model) for label, model in models.items()]
    return Section(f"Task {task}", [*_merge_untested(conclusions), task_tables.measured(models)], parts)


def _merge_untested(conclusions: list[Text]) -> list[Text]:
    """Merge the lines of all models whose tests are refused because they come from a CSV file."""
    untested = [line for line in conclusions if REASON in line.text]
    if len(untested) < 2:
        return conclusions
    merged = Text(f"Refused: {REASON}.", f"{len(untested)} models: not tested.", conclusion=True)
    return [*(line for line in conclusions if line not in untested), merged]


def _pairs(entry: Mapping[str, Any]) -> list[Block]:
    blocks: list[Block] = [task_tables.pairs(entry["pairs"])] if entry["pairs"] else []
    from_csv = [label for label, model in entry["models"].items() if model.get("refused")]
    if from_csv and len(entry["models"]) > 1:
        blocks.append(Text(f"Pairs with {fmt.listed(from_csv, entry['models'])} are refused: {REASON}."))
    return blocks or [Text("Only one model on this task.")]


def _closed_form(models: Mapping[str, Any], figures: list[Block]) -> list[Block]:
    sentence = Text(
        "Every model is treated as if it were the base model that the training starts from, and beta is a "
        "sequence-level KL coefficient in units of the reward: these figures say what the theory predicts from a "
        "model's answers, not what a trained model scores."
    )
    tables = [model_tables.closed_form(label, model) for label, model in models.items() if model["theory"]]
    without = [label for label, model in models.items() if not model["theory"]]
    refused: list[Block] = [Text(f"Refused for {fmt.listed(without, models)}: {REASON}.")] if without else []
    return [sentence, *refused, *figures, *tables] if tables else refused
