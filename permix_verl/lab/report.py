"""The study as sections of the evaluation's report: the paper's Table 2 in miniature, its claims, its theory."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from permix_verl.lab.theory_fit import GAIN, ONE, SHIFT, THEORY
from permix_verl.report import formatting as fmt
from permix_verl.report import tradeoff
from permix_verl.report.document import Block, Picture, Section, Table, Text, table
from permix_verl.report.figures.mpl_helpers import WIDTH, legend, line
from permix_verl.report.figures.palette import BLUE, MUTED, VERMILLION
from permix_verl.report.figures.svg import draw

QUANTITIES = {"worst": "worst accuracy", "mean": "mean accuracy", "pss": "PSS", "voice": "voice kept"}


def sections(study: Mapping[str, Any]) -> list[Section]:
    """Of ``study.analyse_study``'s plain data: one of the claims, and one a task."""
    found = [Section("Claims of the paper", _claims(study["claims"]))] if study["claims"] else []
    both = tradeoff.section(_standings(study), [VOICE], VOICE_IS, name="tradeoff-lab")
    return [*found, *([both] if both else []), *(_task(name, task) for name, task in study["tasks"].items())]


VOICE_IS = "Fidelity is the share of a persona's two words that are there."
VOICE = tradeoff.Measure("voice", "voice kept (%)", fmt.percent, factor=100)


def _standings(study: Mapping[str, Any]) -> list[tradeoff.Standing]:
    """A model each: an arm's seeds stand side by side."""
    found: dict[str, tradeoff.Standing] = {}
    for name, task in study["tasks"].items():
        for arm, models in task["arms"].items():
            for model in models:
                one = found.setdefault(model["label"], tradeoff.Standing(model["label"], arm, {}, {}))
                robustness = tradeoff.Robustness(model["worst"], model["mean"], model["pss"], model["pss_interval"])
                found[model["label"]] = replace(
                    one,
                    robustness={**one.robustness, name: robustness},
                    fidelity={**one.fidelity, name: {"voice": model["voice_interval"]}},
                )
    return list(found.values())


def _claims(claims: Sequence[Mapping[str, Any]]) -> list[Block]:
    columns = (
        ("l", "task"),
        ("l", "claim"),
        ("l", "difference, by seed"),
        ("l", "95 % interval over seeds"),
        ("r", "p over problems"),
        ("r", "Holm"),
        ("l", ""),
    )
    rows = []
    for claim in claims:
        unit = fmt.change if claim["quantity"] == "pss" else fmt.points
        seeds = claim["over_seeds"]
        rows.append(
            [
                claim["task"],
                f"{QUANTITIES[claim['quantity']]}: {claim['more']} above {claim['other']}",
                ", ".join(unit(value) for value in claim["differences"]),
                f"[{unit(seeds[0])}, {unit(seeds[1])}]" if seeds else fmt.MISSING,
                fmt.p_value(claim["p_value"]),
                fmt.p_value(claim["holm"]),
                claim["seen"],
            ]
        )
    text = Text(
        "Accuracies and voice in percentage points. Worst and PSS are cross-fitted: the personas are chosen on one "
        "half of the problems and scored on the other. p is that of a paired test clustered by problem, the largest"
        " of the seeds', for the models that were trained: seen is said of these. What other seeds would give is the "
        "interval's question, and of three seeds it is wide."
    )
    return [text, table("Seen or contrary at 5 % after Holm's correction.", columns, rows)]


def _task(name: str, task: Mapping[str, Any]) -> Section:
    blocks: list[Block] = [_figures(task), _voices(task)]
    theories = [(arm, number, found) for arm, models in task["theory"].items() for number, found in enumerate(models)]
    refused = [
        Text(f"Theory refused for {arm}, model {number + 1}: {found['refused']}.")
        for arm, number, found in theories
        if found["refused"]
    ]
    fitted = [(arm, number, found) for arm, number, found in theories if not found["refused"]]
    theory: list[Block] = [*refused]
    if fitted:
        picture = _picture(name, task)
        theory = [*refused, _fits(task, fitted), *([picture] if picture else [])]
    parts = [Section("Theory against measurement", theory)] if theory else []
    return Section(f"The lab: task {name}", blocks, parts)


def _models(task: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    return [(arm, model) for arm, models in task["arms"].items() for model in models]


def _figures(task: Mapping[str, Any]) -> Table:
    columns = (
        ("l", "arm"),
        ("l", "model"),
        ("r", "worst (%)"),
        ("r", "best (%)"),
        ("r", "mean (%)"),
        ("r", "no persona (%)"),
        ("r", "PSS"),
        ("l", "95 % interval of PSS"),
        ("r", "cross-fitted worst (%)"),
        ("r", "cross-fitted PSS"),
        ("r", "voice kept (%)"),
        ("r", "blurted (%)"),
        ("r", "no answer (%)"),
        ("r", "cut (%)"),
    )
    rows = [
        [
            arm,
            model["label"],
            *(fmt.percent(model[key]) for key in ("worst", "best", "mean")),
            fmt.MISSING if model["no_persona"] is None else fmt.percent(model["no_persona"]),
            fmt.ratio(model["pss"]),
            fmt.limits(model["pss_interval"], fmt.ratio),
            fmt.percent(model["cross_fitted_worst"]),
            fmt.ratio(model["cross_fitted_pss"]),
            *(fmt.percent(model[key]) for key in ("voice", "blurted", "no_answer", "cut")),
        ]
        for arm, model in _models(task)
    ]
    caption = (
        f"{len(task['personas'])} personas, {task['problems']} problems that all models were asked. Voice kept: "
        "share of a persona's two words that are there. Blurted: of the answers given, those without a calculation "
        "before them."
    )
    return table(caption, columns, rows)


def _voices(task: Mapping[str, Any]) -> Table:
    arms = task["arms"]
    columns = (
        ("l", "persona"),
        *(("r", f"{arm}: {what}") for arm in arms for what in ("accuracy", "voice", "blurted")),
    )

    def mean(models: Sequence[Mapping[str, Any]], key: str, row: int) -> str:
        return fmt.percent(sum(model["by_persona"][key][row] for model in models) / len(models))

    rows = [
        [persona, *(mean(models, key, row) for models in arms.values() for key in ("accuracy", "voice", "blurted"))]
        for row, persona in enumerate(task["personas"])
    ]
    return table("Every persona, in percent; means over an arm's seeds.", columns, rows, folded=True)


def _fits(task: Mapping[str, Any], fitted: Sequence[tuple[str, int, Mapping[str, Any]]]) -> Table:
    columns = (
        ("l", "arm"),
        ("l", "model"),
        ("r", "KL coefficient"),
        *(("r", f"error: {name} (points)") for name in (THEORY, GAIN, ONE, SHIFT)),
    )
    rows = [
        [
            arm,
            task["arms"][arm][number]["label"],
            f"{found['beta']:.2f}" if found["identified"] else "not identified",
            *(f"{100 * found['errors'][name]:.1f}" for name in (THEORY, GAIN, ONE, SHIFT)),
        ]
        for arm, number, found in fitted
    ]
    caption = (
        "Accuracy by persona, fitted on one half of the problems and judged on the other: root mean square error. Each "
        "of the four has one fitted number."
    )
    return table(caption, columns, rows)


def _picture(name: str, task: Mapping[str, Any]) -> Picture | None:
    """Accuracy and blurting of every persona after RL, measured and as the theory has them, against before."""
    arms = {arm: models for arm, models in task["theory"].items() if any(not found["refused"] for found in models)}

    def figure() -> Any:
        from matplotlib.figure import Figure

        drawn = Figure(figsize=(WIDTH, 2.7 * len(arms) + 0.5), layout="constrained")
        axes = drawn.subplots(len(arms), 2, squeeze=False)
        base = task["arms"]["base"][0]["by_persona"]
        for row, (arm, models) in zip(axes, arms.items(), strict=True):
            for found in models:
                if found["refused"]:
                    continue
                _points(row[0], base["accuracy"], found["measured_P"], found["predicted_P"])
                _points(row[1], base["blurted"], found["blurted_measured_P"], found["blurted_predicted_P"])
            for axis, what in zip(row, ("accuracy (%)", "blurted (%)"), strict=True):
                axis.axline((50, 50), slope=1, color=MUTED, linewidth=0.8)
                axis.set_title(f"{arm}: {what}", loc="left")
        drawn.supxlabel("base model, each persona", fontsize=9)
        drawn.supylabel("after RL", fontsize=9)
        handles = [
            line("measured", BLUE, "o", markersize=4),
            line("theory", VERMILLION, "x", markersize=5),
            line("no change", MUTED, style="-", linewidth=0.8),
        ]
        legend(drawn, handles)
        return drawn

    slug = "".join(letter if letter.isalnum() else "-" for letter in name)
    return draw(
        f"lab-{slug}-theory",
        figure,
        f"Theory against measurement, task {fmt.one_line(name)}",
        "Each mark is a persona, each seed has its own. Theory: Proposition 1 per problem, at the KL coefficient "
        "fitted on the other half of the problems; style shares from Eq. 3, where a coefficient was found.",
    )


def _points(axis: Any, before: Sequence[float], measured: Sequence[float], predicted: Sequence[float] | None) -> None:
    x = [100 * value for value in before]
    axis.plot(x, [100 * value for value in measured], "o", color=BLUE, markersize=4)
    if predicted is not None:
        axis.plot(x, [100 * value for value in predicted], "x", color=VERMILLION, markersize=5)
