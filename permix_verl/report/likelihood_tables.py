"""Section on persona fidelity by likelihood: a model's answers under each persona's prompt, by the frozen base."""

from permix_verl.fidelity.likelihood.analysis import LikelihoodAnalysis, interval_of_check
from permix_verl.report import formatting as fmt
from permix_verl.report.document import Block, Section, Table, Text, table

ABOUT = (
    "An answer is identified if the frozen base finds it likelier under its own persona's prompt than under any other. "
    "The log-likelihood ratio is its log-likelihood under its own prompt less the mean under the others, in nats per "
    "token. Intervals are 95 %, by t, with personas and problems as two crossed clusters. Chance is what answers score "
    "that do not depend on the persona. An answer that repeats its prompt is identified too, in character or not."
)


def nats(value: float | None) -> str:
    """Format a log-likelihood ratio, signed."""
    return f"{value:+.3f}" if fmt.is_number(value) else fmt.MISSING


def sections(analysis: LikelihoodAnalysis) -> list[Section]:
    """Build the section; empty if no folder has log-likelihoods."""
    if not analysis.models:
        return []
    blocks: list[Block] = [Text(ABOUT), _models(analysis)]
    if analysis.pairs:
        blocks.append(_pairs(analysis))
    return [Section("Persona fidelity by likelihood", blocks)]


def _models(analysis: LikelihoodAnalysis) -> Table:
    columns = (
        ("l", "task"),
        ("l", "model"),
        ("l", "identified (%)"),
        ("r", "chance (%)"),
        ("l", "log-likelihood ratio"),
        ("r", "answers"),
        ("r", "personas"),
        ("r", "problems"),
        ("r", "empty"),
        ("l", "base"),
        ("l", "hand-written answers identified (%)"),
    )
    rows = [
        [
            task,
            label,
            fmt.with_limits(found.rate),
            fmt.percent(found.chance),
            fmt.with_limits(found.margin, nats),
            *(str(number) for number in (found.answers, found.personas, found.problems, model.empty[task])),
            model.base,
            fmt.with_limits(interval_of_check(model.check)),
        ]
        for label, model in analysis.models.items()
        for task, found in model.tasks.items()
    ]
    return table("Answers of the first run. The last column is the check that the base passed.", columns, rows)


def _pairs(analysis: LikelihoodAnalysis) -> Table:
    columns = (
        ("l", "task"),
        ("l", "pair"),
        ("l", "identified (points)"),
        ("l", "log-likelihood ratio"),
        ("r", "answers"),
    )
    rows = [
        [
            pair.task,
            f"{pair.first} - {pair.second}",
            fmt.with_limits(pair.difference.rate, fmt.points),
            fmt.with_limits(pair.difference.margin, nats),
            str(pair.difference.answers),
        ]
        for pair in analysis.pairs
    ]
    caption = (
        "Differences of two models, on the personas and problems that both answered; not corrected for their number."
    )
    return table(caption, columns, rows)
