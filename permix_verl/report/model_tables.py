"""Tables of one model on one task: its personas with the verifier's audit, and the closed form."""

from permix_verl.evaluation.analysis_types import ConditionAnalysis, ModelAnalysis, PredictedAccuracy
from permix_verl.report import formatting as fmt
from permix_verl.report.document import Table, table
from permix_verl.report.strict_tables import STRICT


def personas_table(label: str, model: ModelAnalysis) -> Table:
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
        ("r", "thought cut off (%)"),
        ("r", "cut at the token limit (%)"),
        ("r", "timeout (%)"),
        ("r", "error (%)"),
        ("r", "accuracy among parsed (%)"),
        ("r", "mean tokens"),
    )
    rows = [
        _row(condition, fmt.ratio(model.leave_one_out_pss.get(condition.persona))) for condition in model.conditions()
    ]
    caption = (
        f"{label}: every persona, and the verifier's audit. Parsed: answers that could be read and were scored right "
        "or wrong. No answer, cut, timeout and error are shares of all samples; a cut answer may still be read."
    )
    if any(condition.truncated_thoughts is not None for condition in model.conditions()):
        caption += " Thought cut off: ended inside a thought, and so without an answer."
    if model.strict:
        caption += f" Strict: correct, and marked by {STRICT}. The parser's share is the mean less strict."
    if model.refused:
        caption = f"{label}: every persona. The verifier's audit is refused: {model.refused}."
    return table(caption, columns, rows, folded=True, drop_empty=True)


def _row(condition: ConditionAnalysis, pss_without: str) -> list[str]:
    return [
        condition.persona,
        fmt.percent(condition.accuracy),
        fmt.percent(condition.strict_accuracy),
        fmt.percent(condition.parsers_share),
        fmt.percent(condition.std_over_runs),
        fmt.limits(condition.interval),
        pss_without,
        fmt.percent(condition.no_answer),
        fmt.percent(condition.truncated_thoughts),
        fmt.percent(condition.truncated),
        fmt.percent(condition.timeout),
        fmt.percent(condition.error),
        fmt.percent(condition.accuracy_among_parsed),
        fmt.tokens(condition.mean_tokens),
    ]


def closed_form_table(label: str, model: ModelAnalysis) -> Table:
    """Build the table of the closed form's predictions at each KL coefficient."""
    columns = [("l", "beta")]
    for estimator in ("smoothed", "plug-in"):
        columns += [("r", f"{heading}, {estimator}") for heading in ("mean (%)", "worst (%)", "best (%)", "PSS")]
    now = _accuracies(
        PredictedAccuracy(model.mean.estimate, model.worst.accuracy, model.best.accuracy, model.pss_ratio_of_means)
    )
    rows = [["now (measured)", *now, *now]]
    for prediction in model.theory:
        rows.append([f"{prediction.beta:g}", *_accuracies(prediction.smoothed), *_accuracies(prediction.plug_in)])
    caption = (
        f"{label}: closed form of persona-conditioned RLVR, as if this model were the base model; beta is a "
        "sequence-level KL coefficient in units of the reward."
    )
    return table(caption, columns, rows, folded=True)


def _accuracies(accuracy: PredictedAccuracy) -> list[str]:
    return [
        *(fmt.percent(value) for value in (accuracy.mean, accuracy.worst, accuracy.best)),
        fmt.ratio(accuracy.pss),
    ]
