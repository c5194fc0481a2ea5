"""Tables of one model on one task: its personas with the verifier's audit, and the closed form."""

from collections.abc import Mapping
from typing import Any

from permix_verl.personas.pool import NO_PERSONA
from permix_verl.report import formatting as fmt
from permix_verl.report.document import Table, table
from permix_verl.report.strict_tables import STRICT


def personas(label: str, model: Mapping[str, Any]) -> Table:
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
    rows = [_row(arm["persona"], arm, fmt.ratio(without.get(arm["persona"]))) for arm in model["personas"]]
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


def _row(name: str, arm: Mapping[str, Any], without: str) -> list[str]:
    return [
        name,
        *(fmt.percent(arm[share]) for share in ("accuracy", "strict_accuracy", "parsers_share", "std_over_runs")),
        fmt.limits(arm["interval"]),
        without,
        *(fmt.percent(arm[rate]) for rate in ("no_answer", "cut", "timeout", "error", "accuracy_among_parsed")),
        fmt.tokens(arm["mean_tokens"]),
    ]


def closed_form(label: str, model: Mapping[str, Any]) -> Table:
    ways = {"smoothed": "smoothed", "plug_in": "plug-in"}
    figures = {"mean": fmt.percent, "worst": fmt.percent, "best": fmt.percent, "pss": fmt.ratio}
    columns = [("l", "beta")]
    for way in ways.values():
        columns += [("r", f"{'PSS' if name == 'pss' else f'{name} (%)'}, {way}") for name in figures]
    now = [
        fmt.percent(model["mean"]["estimate"]),
        fmt.percent(model["worst"]["accuracy"]),
        fmt.percent(model["best"]["accuracy"]),
        fmt.ratio(model["pss_ratio_of_means"]),
    ]
    rows = [["now (measured)", *now, *now]]
    for prediction in model["theory"]:
        cells = [figures[name](prediction[way][name]) for way in ways for name in figures]
        rows.append([f"{prediction['beta']:g}", *cells])
    caption = (
        f"{label}: closed form of persona-conditioned RLVR, as if this model were the base model; beta is a "
        "sequence-level KL coefficient in units of the reward."
    )
    return table(caption, columns, rows, folded=True)
