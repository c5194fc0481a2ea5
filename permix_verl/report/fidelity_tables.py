"""Sections on persona fidelity: PersonaGym's tasks, judges and their agreement, pairs of models."""

from collections.abc import Mapping, Sequence

from permix_verl.fidelity.personagym.analysis_types import (
    FidelityAnalysis,
    FidelityModel,
    FidelityPair,
    ScoringAnalysis,
)
from permix_verl.fidelity.personagym.scores import TOTAL
from permix_verl.fidelity.personagym.tasks import TASKS
from permix_verl.report import formatting as fmt
from permix_verl.report.document import Block, Section, Table, Text, table

Models = Mapping[str, ScoringAnalysis]
"""Models by label, in one scoring."""

SCORINGS = {
    "fixed": "Our scoring",
    "official": "PersonaGym's own scoring, quirks included",
}
_ABOUT = {
    "fixed": (
        "A judge is asked about one answer at a time, by rubrics of this project, and a reply that is not of the form "
        "asked for is missing, not a score. "
    ),
    "official": (
        "Prompts, rubrics and arithmetic are PersonaGym's: up to five answers in a call, evaluations without a "
        "readable score left out, a block without any a score of 0. "
    ),
}


FAILURE_KINDS: Mapping[str, tuple[str, ...]] = {
    "fixed": ("refused", "rejected", "cut", "malformed", "out_of_range", "failed", "missing"),
    "official": ("block of misses", "failed", "missing"),
}
"""Kinds of judgement without a score: "failed" is a request without a reply, "missing" was never requested."""


def score(value: float | None) -> str:
    """Format a mean score on the scale of 1 to 5."""
    return f"{value:.2f}" if fmt.is_number(value) else fmt.MISSING


def change(value: float | None) -> str:
    """Format a difference of scores, signed."""
    if not fmt.is_number(value):
        return fmt.MISSING
    text = f"{value:+.2f}"
    return "0.00" if text in ("+0.00", "-0.00") else text


def sections(fidelity: FidelityAnalysis) -> list[Section]:
    """Build the section with one part per scoring; empty if nothing was judged."""
    if not fidelity.models:
        return []
    parts = [Section(title, _scoring(name, fidelity)) for name, title in SCORINGS.items() if _models(fidelity, name)]
    intro = Text(
        "PersonaGym's five tasks: expected action (EA), action justification (AJ), linguistic habits (LH), persona "
        "consistency (PC) and toxicity control (TC), each from 1 to 5; the total is their mean, PersonaGym's "
        "PersonaScore. Intervals are 95 %, by t, clustered by persona: they say how a figure would vary with other "
        "roles like these, judged by the same judges. Scores of other judges, or on other questions, do not compare."
    )
    return [Section("Persona fidelity", [intro, _inputs_table(fidelity.models)], parts)]


def _models(fidelity: FidelityAnalysis, name: str) -> Models:
    return {label: model.scorings[name] for label, model in fidelity.models.items() if name in model.scorings}


def _scoring(name: str, fidelity: FidelityAnalysis) -> list[Block]:
    models = _models(fidelity, name)
    blocks: list[Block] = [Text(_ABOUT[name] + _judges(models)), _scores(models)]
    if name == "fixed":
        blocks.append(_agreement(models))
    blocks.append(_counts(models, name))
    pairs = [pair for pair in fidelity.pairs if name in pair.scorings]
    if pairs:
        blocks += _pairs(pairs, name)
    if any(len(scoring.judges) > 1 for scoring in models.values()):
        blocks.append(_scores_by_judge(models))
    return [*blocks, *(_personas(label, scoring) for label, scoring in models.items())]


def _judges(models: Models) -> str:
    sets = {tuple(scoring.judges) for scoring in models.values()}
    if len(sets) == 1:
        return f"Judged by {', '.join(next(iter(sets)))}."
    return "Judged by: " + "; ".join(f"{label}: {', '.join(scoring.judges)}" for label, scoring in models.items()) + "."


def _tasks(models: Models) -> list[str]:
    present = {task for scoring in models.values() for task in scoring.tasks}
    return [task for task in TASKS if task in present] + [TOTAL]


def _letters(task: str) -> str:
    return task if task == TOTAL else TASKS[task].letters


def _inputs_table(models: Mapping[str, FidelityModel]) -> Table:
    columns = (
        ("l", "model"),
        ("l", "weights"),
        ("r", "answers"),
        ("r", "missing"),
        ("r", "cut at the token limit"),
        ("l", "questions"),
    )
    rows = [
        [
            label,
            model.model + (f" + {model.adapter}" if model.adapter else ""),
            str(model.answers["there"]),
            str(model.answers["wanted"] - model.answers["there"]),
            str(model.answers["cut"]),
            f"{model.made_by} ({model.questions[:12]})",
        ]
        for label, model in models.items()
    ]
    return table("What was asked.", columns, rows)


def _scores(models: Models) -> Table:
    tasks = _tasks(models)
    columns = (("l", "model"), *(("l", _letters(task)) for task in tasks), ("r", "personas without a total"))
    rows = [
        [
            label,
            *(
                fmt.with_limits(scoring.tasks[task].together if task in scoring.tasks else None, score)
                for task in tasks
            ),
            str(scoring.tasks[TOTAL].without),
        ]
        for label, scoring in models.items()
    ]
    return table("Mean score and its interval, all judges together.", columns, rows)


def _scores_by_judge(models: Models) -> Table:
    tasks = _tasks(models)
    columns = (("l", "model"), ("l", "judge"), *(("l", _letters(task)) for task in tasks))
    rows = [
        [
            label,
            judge,
            *(
                fmt.with_limits(scoring.tasks[task].judges.get(judge) if task in scoring.tasks else None, score)
                for task in tasks
            ),
        ]
        for label, scoring in models.items()
        for judge in scoring.judges
    ]
    return table("Mean score and its interval, each judge apart.", columns, rows, folded=True)


def _agreement(models: Models) -> Table:
    tasks = _tasks(models)
    columns = (("l", "model"), *(("l", _letters(task)) for task in tasks))
    rows = [
        [
            label,
            *(fmt.with_limits(scoring.tasks[task].alpha if task in scoring.tasks else None, score) for task in tasks),
        ]
        for label, scoring in models.items()
    ]
    caption = (
        "Agreement of the judges: Krippendorff's alpha on an ordinal scale, with a bootstrap interval over personas; 1 "
        "is agreement, 0 is chance."
    )
    return table(caption, columns, rows)


def _counts(models: Models, name: str) -> Table:
    kinds = FAILURE_KINDS[name]
    columns = (
        ("l", "model"),
        ("l", "judge"),
        ("r", "wanted"),
        ("r", "without a score (%)"),
        *(("r", kind.replace("_", " ")) for kind in kinds),
    )
    rows = [
        [
            label,
            judge,
            str(counts["wanted"]),
            fmt.percent(sum(counts.get(kind, 0) for kind in kinds) / counts["wanted"]),
            *(str(counts.get(kind, 0)) for kind in kinds),
        ]
        for label, scoring in models.items()
        for judge, counts in scoring.counts.items()
    ]
    what = "none of them counts" if name == "fixed" else "all but the missing ones count as 0, as in PersonaGym"
    caption = f"Judgements without a score; {what}. Failed: requests without a reply; missing: not asked so far."
    return table(caption, columns, rows)


def _pairs(pairs: Sequence[FidelityPair], name: str) -> list[Block]:
    refused = [
        Text(f"{pair.first} and {pair.second} are not compared: {pair.scorings[name].refused}.")
        for pair in pairs
        if pair.scorings[name].refused
    ]
    rows = [
        [
            f"{pair.first} - {pair.second}",
            _letters(task),
            change(result.difference.estimate),
            fmt.limits(result.difference, change),
            fmt.p_value(result.p_value),
            str(result.personas),
        ]
        for pair in pairs
        for task, result in pair.scorings[name].tasks.items()
    ]
    if not rows:
        return [*refused]
    columns = (("l", "pair"), ("l", "task"), ("r", "difference"), ("l", "95 % interval"), ("r", "p"), ("r", "personas"))
    caption = (
        "Pairs of models, on the judgements that both have. p: by exchanging the two models within personas, "
        "two-sided, not corrected for the number of tasks and pairs."
    )
    return [*refused, table(caption, columns, rows)]


def _personas(label: str, scoring: ScoringAnalysis) -> Table:
    tasks = [*scoring.tasks]
    columns = (("l", "persona"), *(("r", _letters(task)) for task in tasks))
    keys = list(scoring.tasks[TOTAL].personas)
    rows = [[key, *(score(scoring.tasks[task].personas[key]) for task in tasks)] for key in keys]
    return table(f"{label}: every persona, all judges together.", columns, rows, folded=True)
