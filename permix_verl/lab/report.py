"""Lab study as sections of the evaluation report: figures by method, the paper's claims, its theory."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from permix_verl.lab.theory_fit import SAME_ACCURACY, SAME_GAIN, SAME_SHIFT, THEORY
from permix_verl.report import formatting as fmt
from permix_verl.report import tradeoff
from permix_verl.report.document import Block, Picture, Section, Table, Text, table
from permix_verl.report.figures.mpl_helpers import WIDTH, legend, line
from permix_verl.report.figures.palette import BLUE, MUTED, VERMILLION
from permix_verl.report.figures.svg import render_picture

QUANTITIES = {"worst": "worst accuracy", "mean": "mean accuracy", "pss": "PSS", "voice": "voice kept"}


def sections(study: Mapping[str, Any]) -> list[Section]:
    """Build the sections from ``study.analyse_study``'s result: claims, trade-off, and one for each task."""
    claims = [Section("Claims of the paper", _claims(study["claims"]))] if study["claims"] else []
    pair = tradeoff.section(_standings(study), [VOICE], VOICE_NOTE, name="tradeoff-lab")
    return [*claims, *([pair] if pair else []), *(_task(name, task) for name, task in study["tasks"].items())]


VOICE_NOTE = "Fidelity is the fraction of a persona's two words present."
VOICE = tradeoff.Measure("voice", "voice kept (%)", fmt.percent, factor=100)


def _standings(study: Mapping[str, Any]) -> list[tradeoff.Point]:
    """Return one entry for each model; the seeds of a method are adjacent."""
    points: dict[str, tradeoff.Point] = {}
    for name, task in study["tasks"].items():
        for method, models in task["arms"].items():
            for model in models:
                point = points.setdefault(model["label"], tradeoff.Point(model["label"], method, {}, {}))
                robustness = tradeoff.TaskRobustness(model["worst"], model["mean"], model["pss"], model["pss_interval"])
                points[model["label"]] = replace(
                    point,
                    robustness={**point.robustness, name: robustness},
                    fidelity={**point.fidelity, name: {"voice": model["voice_interval"]}},
                )
    return list(points.values())


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
        "Accuracies and voice in percentage points. Worst and PSS are cross-fitted: the personas are selected on one "
        "half of the problems and scored on the other. p is from a paired test clustered by problem, the maximum over "
        'the seeds; "seen" refers to the trained models. The interval describes other seeds; it is wide for three.'
    )
    return [text, table("Seen or contrary at 5 % after Holm's correction.", columns, rows)]


def _task(name: str, task: Mapping[str, Any]) -> Section:
    blocks: list[Block] = [_figures(task), _voices(task)]
    fits = [(method, number, fit) for method, models in task["theory"].items() for number, fit in enumerate(models)]
    refused = [
        Text(f"Theory refused for {method}, model {number + 1}: {fit['refused']}.")
        for method, number, fit in fits
        if fit["refused"]
    ]
    fitted = [(method, number, fit) for method, number, fit in fits if not fit["refused"]]
    theory: list[Block] = [*refused]
    if fitted:
        picture = _picture(name, task)
        theory = [*refused, _fits(task, fitted), *([picture] if picture else [])]
    parts = [Section("Theory against measurement", theory)] if theory else []
    return Section(f"The lab: task {name}", blocks, parts)


def _models(task: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    return [(method, model) for method, models in task["arms"].items() for model in models]


def _figures(task: Mapping[str, Any]) -> Table:
    columns = (
        ("l", "method"),
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
        ("r", "truncated (%)"),
    )
    rows = [
        [
            method,
            model["label"],
            *(fmt.percent(model[key]) for key in ("worst", "best", "mean")),
            fmt.MISSING if model["no_persona"] is None else fmt.percent(model["no_persona"]),
            fmt.ratio(model["pss"]),
            fmt.limits(model["pss_interval"], fmt.ratio),
            fmt.percent(model["cross_fitted_worst"]),
            fmt.ratio(model["cross_fitted_pss"]),
            *(fmt.percent(model[key]) for key in ("voice", "blurted", "no_answer", "cut")),
        ]
        for method, model in _models(task)
    ]
    caption = (
        f"{len(task['personas'])} personas, {task['problems']} problems common to all models. Voice kept: fraction "
        "of a persona's two words present. Blurted: fraction of the answers without a calculation before them."
    )
    return table(caption, columns, rows)


def _voices(task: Mapping[str, Any]) -> Table:
    methods = task["arms"]
    columns = (
        ("l", "persona"),
        *(("r", f"{method}: {what}") for method in methods for what in ("accuracy", "voice", "blurted")),
    )

    def mean(models: Sequence[Mapping[str, Any]], key: str, row: int) -> str:
        return fmt.percent(sum(model["by_persona"][key][row] for model in models) / len(models))

    rows = [
        [persona, *(mean(models, key, row) for models in methods.values() for key in ("accuracy", "voice", "blurted"))]
        for row, persona in enumerate(task["personas"])
    ]
    return table("Every persona, in percent; means over the seeds of a method.", columns, rows, folded=True)


def _fits(task: Mapping[str, Any], fitted: Sequence[tuple[str, int, Mapping[str, Any]]]) -> Table:
    columns = (
        ("l", "method"),
        ("l", "model"),
        ("r", "KL coefficient"),
        *(("r", f"error: {name} (points)") for name in (THEORY, SAME_GAIN, SAME_ACCURACY, SAME_SHIFT)),
    )
    rows = [
        [
            method,
            task["arms"][method][number]["label"],
            f"{fit['beta']:.2f}" if fit["identified"] else "not identified",
            *(f"{100 * fit['errors'][name]:.1f}" for name in (THEORY, SAME_GAIN, SAME_ACCURACY, SAME_SHIFT)),
        ]
        for method, number, fit in fitted
    ]
    caption = (
        "Accuracy by persona, fitted on one half of the problems and evaluated on the other: root mean square error. "
        "Each of the four has one fitted number."
    )
    return table(caption, columns, rows)


def _picture(name: str, task: Mapping[str, Any]) -> Picture | None:
    """Plot accuracy and blurting of every persona after RL, measured and predicted, against the base model."""
    methods = {method: models for method, models in task["theory"].items() if any(not fit["refused"] for fit in models)}

    def figure() -> Any:
        from matplotlib.figure import Figure

        chart = Figure(figsize=(WIDTH, 2.7 * len(methods) + 0.5), layout="constrained")
        axes = chart.subplots(len(methods), 2, squeeze=False)
        base = task["arms"]["base"][0]["by_persona"]
        for row, (method, models) in zip(axes, methods.items(), strict=True):
            for fit in models:
                if fit["refused"]:
                    continue
                _points(row[0], base["accuracy"], fit["measured_P"], fit["predicted_P"])
                _points(row[1], base["blurted"], fit["blurted_measured_P"], fit["blurted_predicted_P"])
            for axis, what in zip(row, ("accuracy (%)", "blurted (%)"), strict=True):
                axis.axline((50, 50), slope=1, color=MUTED, linewidth=0.8)
                axis.set_title(f"{method}: {what}", loc="left")
        chart.supxlabel("base model, each persona", fontsize=9)
        chart.supylabel("after RL", fontsize=9)
        handles = [
            line("measured", BLUE, "o", markersize=4),
            line("theory", VERMILLION, "x", markersize=5),
            line("no change", MUTED, style="-", linewidth=0.8),
        ]
        legend(chart, handles)
        return chart

    slug = "".join(letter if letter.isalnum() else "-" for letter in name)
    return render_picture(
        f"lab-{slug}-theory",
        figure,
        f"Theory against measurement, task {fmt.one_line(name)}",
        "Each mark is one persona and one seed. Theory: Proposition 1 per problem, at the KL coefficient fitted on the "
        "other half of the problems; style fractions from Eq. 3, where a coefficient is identified.",
    )


def _points(axis: Any, before: Sequence[float], measured: Sequence[float], predicted: Sequence[float] | None) -> None:
    x = [100 * value for value in before]
    axis.plot(x, [100 * value for value in measured], "o", color=BLUE, markersize=4)
    if predicted is not None:
        axis.plot(x, [100 * value for value in predicted], "x", color=VERMILLION, markersize=5)
