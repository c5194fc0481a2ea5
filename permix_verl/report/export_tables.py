"""Export of the report as CSV, LaTeX and a summary for the terminal."""

import csv
import io
import re
from collections.abc import Mapping, Sequence
from typing import Any

from permix_verl.fidelity.personagym.scores import TOTAL
from permix_verl.fidelity.personagym.tasks import CONSISTENCY
from permix_verl.personas.pool import NO_PERSONA
from permix_verl.report import formatting as fmt
from permix_verl.report.fidelity_tables import score

_AUDIT = ("no_answer", "cut", "timeout", "error", "accuracy_among_parsed", "mean_tokens")
_STRICT = ("strict_accuracy", "parsers_share")


def summary_csv(analysis: Mapping[str, Any]) -> str:
    """Write one row per task and model; accuracies are unrounded fractions, missing values are empty."""
    return _csv([_summary_row(task, label, model) for task, label, model in _models(analysis)])


def personas_csv(analysis: Mapping[str, Any]) -> str:
    """Write one row per task, model and persona, including the control, with fractions of marks if recorded."""
    marks = sorted(
        {
            mark
            for *_, model in _models(analysis)
            for condition in _conditions(model)
            for mark in condition["marks"] or ()
        }
    )
    rows = []
    for task, label, model in _models(analysis):
        for condition in _conditions(model):
            row = {"task": task, "model": label, "persona": condition["persona"], "accuracy": condition["accuracy"]}
            row |= {"std_over_runs": condition["std_over_runs"], **_interval("interval", condition["interval"])}
            row |= {"pss_without": model["leave_one_out_pss"].get(condition["persona"])}
            row |= {name: condition[name] for name in (*_AUDIT, *_STRICT)}
            known = condition["marks"]
            rows.append(row | {f"mark_{mark}": None if known is None else known.get(mark, 0.0) for mark in marks})
    return _csv(rows)


def fidelity_csv(analysis: Mapping[str, Any]) -> str:
    """Write one row per scoring, model, judge ("all" for all together) and task; empty if nothing was judged."""
    rows = []
    for label, model in analysis.get("fidelity", {}).get("models", {}).items():
        for scoring, result in model["scorings"].items():
            for task, scores in result["tasks"].items():
                for judge, interval in (("all", scores["together"]), *scores["judges"].items()):
                    row = {"scoring": scoring, "model": label, "judge": judge, "task": task}
                    row |= {"score": interval["estimate"], **_interval("score", interval)}
                    rows.append(row | {"standard_error": interval["standard_error"]})
    return _csv(rows)


def _models(analysis: Mapping[str, Any]) -> list[tuple[str, str, Mapping[str, Any]]]:
    return [
        (task, label, model) for task, entry in analysis["tasks"].items() for label, model in entry["models"].items()
    ]


def _conditions(model: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    control = model["no_persona"]
    return [*model["personas"], *([] if control is None else [{"persona": NO_PERSONA, **control}])]


def _summary_row(task: str, label: str, model: Mapping[str, Any]) -> dict[str, Any]:
    control = model["no_persona"]
    row = {
        "task": task,
        "model": label,
        "model_name": model["model"],
        "adapter": model["adapter"],
        "personas": model["personas_tried"],
        "runs": model["runs"],
        "problems": model["problems"],
        "dropped_problems": model["dropped_problems"],
        "worst_persona": model["worst"]["persona"],
        "worst": model["worst"]["accuracy"],
        "best_persona": model["best"]["persona"],
        "best": model["best"]["accuracy"],
        "mean": model["mean"]["estimate"],
        "mean_standard_error": model["mean"]["standard_error"],
        **_interval("mean", model["mean"]),
        "no_persona": control["accuracy"] if control else None,
        "pss_ratio_of_means": model["pss_ratio_of_means"],
        "pss_mean_of_run_ratios": model["pss_mean_of_run_ratios"],
        **_interval("pss", model["pss_interval"]),
    }
    for null in ("sharp", "blocks"):
        test = model["invariance"].get(null, {})
        for name in ("expected", "low", "high", "expected_run_mean", "p_value", "verdict"):
            row[f"{null}_{name}"] = test.get(name)
    for name in ("cross_fitted_worst", "cross_fitted_best", "worst_minus_no_persona"):
        interval = model[name] or {"estimate": None, "low": None, "high": None, "refused": None}
        row |= {name: interval["estimate"], **_interval(name, interval)}
    flips = model["flip_rates"]
    return row | {
        "tenth_percentile": model["tenth_percentile"],
        "flips_across": flips["across"],
        "flips_within": flips["within"],
        "persona_sd": model["persona_sd"],
        **_strict_columns(model["strict"]),
    }


def _strict_columns(strict: Mapping[str, Any] | None) -> dict[str, Any]:
    columns: dict[str, Any] = {}
    for end in ("worst", "best"):
        columns[f"strict_{end}_persona"] = strict[end]["persona"] if strict else None
        columns[f"strict_{end}"] = strict[end]["accuracy"] if strict else None
    for name in ("mean", "pss_ratio_of_means"):
        columns[f"strict_{name}"] = strict[name] if strict else None
    return columns | {"parsers_share": strict["parsers_share"] if strict else None}


def _interval(name: str, interval: Mapping[str, Any]) -> dict[str, Any]:
    return {f"{name}_{part}": interval[part] for part in ("low", "high", "refused")}


def _csv(rows: Sequence[Mapping[str, Any]]) -> str:
    if not rows:
        return ""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue()


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


def table2_latex(analysis: Mapping[str, Any]) -> str:
    """Write a table in the layout of the paper's Table 2: one row per model, four columns per task."""
    tasks = analysis["tasks"]
    labels = list(dict.fromkeys(label for entry in tasks.values() for label in entry["models"]))
    heads = [rf"\multicolumn{{4}}{{c}}{{{latex(task)}}}" for task in tasks]
    rules = [rf"\cmidrule(lr){{{2 + 4 * number}-{5 + 4 * number}}}" for number in range(len(tasks))]
    rows = [
        [label, *(cell for entry in tasks.values() for cell in _cells(entry["models"].get(label)))] for label in labels
    ]
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


def _cells(model: Mapping[str, Any] | None) -> list[str]:
    if model is None:
        return ["--"] * 4
    accuracies = [model["worst"]["accuracy"], model["best"]["accuracy"], model["mean"]["estimate"]]
    return [
        cell.replace(fmt.MISSING, "--")
        for cell in (*map(fmt.percent, accuracies), fmt.ratio(model["pss_ratio_of_means"]))
    ]


def printed_summary(analysis: Mapping[str, Any]) -> str:
    """Return the summary for the terminal, with aligned columns."""
    rows = [["task", "model", "worst (persona)", "best (persona)", "mean ± s.e.", "PSS", "p (sharp null)"]]
    for task, label, model in _models(analysis):
        interval, test = model["pss_interval"], model["invariance"].get("sharp")
        limits = fmt.limits(interval, fmt.ratio) if interval["refused"] is None else "refused"
        rows.append(
            [
                fmt.one_line(task),
                fmt.one_line(label),
                *(f"{fmt.percent(model[end]['accuracy'])} ({model[end]['persona']})" for end in ("worst", "best")),
                fmt.with_error(model["mean"]),
                f"{fmt.ratio(model['pss_ratio_of_means'])} {limits}",
                fmt.p_value(test["p_value"]) if test else "refused",
            ]
        )
    fidelity = [["model", "scoring", "Persona Consistency", "all tasks"]]
    for label, model in analysis.get("fidelity", {}).get("models", {}).items():
        for scoring, result in model["scorings"].items():
            shown = [result["tasks"].get(name, {}).get("together") for name in (CONSISTENCY, TOTAL)]
            cells = [fmt.with_limits(interval, score) for interval in shown]
            fidelity.append([fmt.one_line(label), scoring, *cells])
    return "\n\n".join(_aligned(table) for table in (rows, fidelity) if len(table) > 1)


def _aligned(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
