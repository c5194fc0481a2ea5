"""Tables of one model on one task: its personas with the verifier's audit, and the closed form."""

from collections.abc import Mapping
from typing import Any

from permix_verl.personas.pool import NO_PERSONA
from permix_verl.report import formatting as fmt
from permix_verl.report.document import Table, table
from permix_verl.report.strict_tables import STRICT


def personas(label: str, model: Mapping[str, Any]) -> Table:
    """Build the table of every persona and the control, with the verifier's audit."""
    columns = (
        ("l", "persona"),
        ("r", "mean (%)"),
        ("r", "strict (%)"),
        ("r", "parser's share (points)"),
        ("r", "s.d. over runs (points)"),
        ("l", "95 % interval"),
        ("r", "PSS without it"),
        ("r", "no answer (%)"),
        ("r", "cut at the token limit (%)"),
        ("r", "timeout (%)"),
        ("r", "error (%)"),
        ("r", "accuracy among parsed (%)"),
        ("r", "mean tokens"),
    )
    without = model["leave_one_out_pss"]
    rows = [
        _row(condition["persona"], condition, fmt.ratio(without.get(condition["persona"])))
        for condition in model["personas"]
    ]
    if model["no_persona"] is not None:
        rows.append(_row(NO_PERSONA, model["no_persona"], fmt.MISSING))
    caption = (
        f"{label}: every persona, and the verifier's audit. Parsed: answers that could be read and were scored right "
        "or wrong. No answer, cut, timeout and error are shares of all samples; a cut answer may still be read."
    )
    if model["strict"]:
        caption += f" Strict: correct, and marked by {STRICT}. The parser's share is the mean less strict."
    if model.get("refused"):
        caption = f"{label}: every persona. The verifier's audit is refused: {model['refused']}."
    return table(caption, columns, rows, folded=True, drop_empty=True)


def _row(name: str, condition: Mapping[str, Any], without: str) -> list[str]:
    return [
        name,
        *(fmt.percent(condition[share]) for share in ("accuracy", "strict_accuracy", "parsers_share", "std_over_runs")),
        fmt.limits(condition["interval"]),
        without,
        *(fmt.percent(condition[rate]) for rate in ("no_answer", "cut", "timeout", "error", "accuracy_among_parsed")),
        fmt.tokens(condition["mean_tokens"]),
    ]


def closed_form(label: str, model: Mapping[str, Any]) -> Table:
    """Build the table of the closed form's predictions at each KL coefficient."""
    estimators = {"smoothed": "smoothed", "plug_in": "plug-in"}
    figures = {"mean": fmt.percent, "worst": fmt.percent, "best": fmt.percent, "pss": fmt.ratio}
    columns = [("l", "beta")]
    for estimator in estimators.values():
        columns += [("r", f"{'PSS' if name == 'pss' else f'{name} (%)'}, {estimator}") for name in figures]
    now = [
        fmt.percent(model["mean"]["estimate"]),
        fmt.percent(model["worst"]["accuracy"]),
        fmt.percent(model["best"]["accuracy"]),
        fmt.ratio(model["pss_ratio_of_means"]),
    ]
    rows = [["now (measured)", *now, *now]]
    for prediction in model["theory"]:
        cells = [figures[name](prediction[estimator][name]) for estimator in estimators for name in figures]
        rows.append([f"{prediction['beta']:g}", *cells])
    caption = (
        f"{label}: closed form of persona-conditioned RLVR, as if this model were the base model; beta is a "
        "sequence-level KL coefficient in units of the reward."
    )
    return table(caption, columns, rows, folded=True)
