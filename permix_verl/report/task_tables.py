"""Tables of one task with all of its models."""

from collections.abc import Mapping

from permix_verl.evaluation.analysis_types import ModelAnalysis
from permix_verl.report import formatting as fmt
from permix_verl.report.document import Block, Table, Text, table
from permix_verl.report.from_csv import REASON

Models = Mapping[str, ModelAnalysis]

NULLS = {"sharp": "single runs", "blocks": "all runs of a persona on a problem, as one block"}
"""The unit that is permuted under each null hypothesis."""
UNSOLVED = "no answer is correct"


def untested_reason(model: ModelAnalysis) -> str:
    """Return the reason why a model has no test of invariance."""
    return model.refused or UNSOLVED


def conclusion_text(label: str, model: ModelAnalysis) -> Text:
    """State a model's test conclusions in words."""
    tests = model.invariance
    if not tests:
        return Text(f"Refused: {untested_reason(model)}.", f"{label}: not tested.", conclusion=True)
    p_values = " ".join(
        f"{null.capitalize()} null: {fmt.p_value(test.p_value)}, {fmt.ratio(test.expected)} expected."
        for null, test in tests.items()
    )
    text = f"PSS {fmt.ratio(model.pss_ratio_of_means)}. {p_values}"
    return Text(
        f"{text} By the blocks null, {tests['blocks'].conclusion}.",
        f"{label}: {tests['sharp'].conclusion}.",
        conclusion=True,
    )


def inputs_table(models: Models) -> Table:
    """Build the table of models and numbers of personas, runs and problems."""
    columns = (
        ("l", "model"),
        ("l", "name"),
        ("l", "adapter"),
        ("r", "personas"),
        ("r", "runs"),
        ("r", "problems"),
        ("r", "problems dropped"),
    )
    rows = [
        [
            label,
            fmt.MISSING if model.model == label else model.model,
            model.adapter or fmt.MISSING,
            fmt.count(model.personas_tried),
            fmt.count(model.runs),
            fmt.count(model.problems),
            fmt.count(model.dropped_problems),
        ]
        for label, model in models.items()
    ]
    caption = "What was measured. Dropped: problems of which some sample is missing."
    return table(caption, columns, rows, drop_empty=True)


def accuracy_table(models: Models) -> Table:
    """Build the table of worst, best and mean accuracy and PSS."""
    columns = (
        ("l", "model"),
        ("l", "worst (%)"),
        ("l", "best (%)"),
        ("r", "mean ± s.e. (%)"),
        ("l", "95 % interval of the mean"),
        ("r", "PSS, ratio of means"),
        ("r", "PSS, mean of run ratios"),
        ("l", "95 % interval of PSS, ratio of means"),
    )
    rows = [
        [
            label,
            f"{fmt.percent(model.worst.accuracy)} ({model.worst.persona})",
            f"{fmt.percent(model.best.accuracy)} ({model.best.persona})",
            fmt.with_error(model.mean),
            fmt.limits(model.mean),
            fmt.ratio(model.pss_ratio_of_means),
            fmt.or_refused(fmt.ratio(model.pss_mean_of_run_ratios), model.refused),
            fmt.limits(model.pss_interval, fmt.ratio),
        ]
        for label, model in models.items()
    ]
    return table("Accuracy over personas, and PSS.", columns, rows)


def invariance_blocks(models: Models) -> list[Block]:
    """Build the table of the invariance tests, and the reasons for those refused."""
    columns = (
        ("l", "model"),
        ("l", "null"),
        ("l", "what moves"),
        ("r", "PSS, ratio of means"),
        ("l", "expected, central 90 %"),
        ("r", "PSS, mean of run ratios"),
        ("r", "expected"),
        ("l", "p"),
        ("l", "verdict"),
    )
    rows = []
    for label, model in models.items():
        for null, test in model.invariance.items():
            rows.append(
                [
                    label,
                    null,
                    NULLS[null],
                    fmt.ratio(model.pss_ratio_of_means),
                    f"{fmt.ratio(test.expected)} [{fmt.ratio(test.low)}, {fmt.ratio(test.high)}]",
                    fmt.ratio(model.pss_mean_of_run_ratios),
                    fmt.ratio(test.expected_run_mean),
                    fmt.p_value(test.p_value),
                    test.conclusion,
                ]
            )
    caption = "Against a persona-invariant model of the same accuracy and size."
    blocks: list[Block] = [table(caption, columns, rows)] if rows else []
    for reason in (REASON, UNSOLVED):
        untested = [
            label for label, model in models.items() if not model.invariance and untested_reason(model) == reason
        ]
        if untested:
            blocks.append(Text(f"Refused for {fmt.join_labels(untested, models)}: {reason}."))
    return blocks


def cross_fitted_table(models: Models) -> Table:
    """Build the table of cross-fitted worst and best, and of the largest leave-one-out change of PSS."""
    columns = (
        ("l", "model"),
        ("l", "cross-fitted worst (%)"),
        ("l", "cross-fitted best (%)"),
        ("r", "PSS"),
        ("r", "PSS without one persona"),
        ("r", "change"),
        ("l", "the persona left out"),
    )
    rows = []
    for label, model in models.items():
        persona, without = largest_change(model)
        pss = model.pss_ratio_of_means
        changed = None if without is None or pss is None else without - pss
        rows.append(
            [
                label,
                fmt.with_limits(model.cross_fitted_worst),
                fmt.with_limits(model.cross_fitted_best),
                fmt.ratio(pss),
                fmt.ratio(without),
                fmt.change(changed),
                persona,
            ]
        )
    caption = (
        "Worst and best as estimates: cross-fitted, which estimates the accuracy of the chosen persona; and the "
        "largest change of PSS (ratio of means) by leaving out one persona."
    )
    return table(caption, columns, rows)


def largest_change(model: ModelAnalysis) -> tuple[str, float | None]:
    """Return the persona whose removal changes PSS most, and PSS without it."""
    pss = model.pss_ratio_of_means
    defined = {persona: value for persona, value in model.leave_one_out_pss.items() if value is not None}
    if pss is None or not defined:
        return fmt.MISSING, None
    persona = max(defined, key=lambda name: abs(defined[name] - pss))
    return persona, defined[persona]


def near_zero_table(models: Models) -> Table:
    """Build the table of metrics that stay informative when the worst accuracy is near zero."""
    columns = (
        ("l", "model"),
        ("l", "cross-fitted worst minus no persona (points)"),
        ("r", "10th percentile over personas (%)"),
        ("r", "flips across (%)"),
        ("r", "flips within (%)"),
        ("r", "excess (points)"),
        ("r", "persona s.d. (points)"),
    )
    rows = []
    for label, model in models.items():
        flips, minus_control = model.flip_rates, model.worst_minus_no_persona
        rows.append(
            [
                label,
                "no arm without persona" if minus_control is None else fmt.with_limits(minus_control, fmt.points),
                fmt.percent(model.tenth_percentile),
                fmt.or_refused(fmt.percent(flips.across), model.refused),
                fmt.or_refused(fmt.percent(flips.within), model.refused),
                fmt.or_refused(fmt.points(flips.excess), model.refused),
                fmt.or_refused(fmt.percent(model.persona_sd), model.refused),
            ]
        )
    return table("What stays meaningful where the worst accuracy is near 0.", columns, rows)


def best_of_k_table(models: Models) -> Table:
    """Build the table of the best-of-k curves at powers of two."""
    longest = max(len(model.best_of_k.apparent) for model in models.values())
    tried = sorted({1, longest, *(2**power for power in range(longest.bit_length()) if 2**power <= longest)})
    columns = [("l", "model"), ("l", "curve"), *(("r", f"k = {k}") for k in tried)]
    rows = []
    for label, model in models.items():
        for name, curve in model.best_of_k.curves().items():
            if not curve:
                refused = fmt.or_refused(fmt.MISSING, model.refused)
                rows.append([label, name.replace("_", "-"), refused, *[fmt.MISSING] * (len(tried) - 1)])
                continue
            values = [fmt.percent(curve[k - 1]) if k <= len(curve) else fmt.MISSING for k in tried]
            rows.append([label, name.replace("_", "-"), *values])
    return table("Expected accuracy (%) of the best of k personas tried.", columns, rows)
