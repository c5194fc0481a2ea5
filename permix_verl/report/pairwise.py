"""Report of a pairwise fidelity comparison of two models."""

from collections.abc import Mapping
from pathlib import Path

from permix_verl.fidelity.pairwise.analysis_types import JudgeResult, PairwiseAnalysis
from permix_verl.report import formatting as fmt
from permix_verl.report.document import Block, Document, Section, Text, table
from permix_verl.report.html import to_html
from permix_verl.report.json_export import pairwise_json
from permix_verl.report.markdown import to_markdown
from permix_verl.utils.files import write_atomic

Judges = Mapping[str, JudgeResult]


def write_pairwise(analysis: PairwiseAnalysis, out: Path) -> None:
    """Write ``pairwise.json``, ``.md`` and ``.html`` to ``out``.

    Args:
        analysis: the result of ``fidelity.pairwise.analysis.analyse_pairs``.
        out: an existing folder.
    """
    document = pairwise_document(analysis)
    write_atomic(out / "pairwise.json", pairwise_json(analysis))
    write_atomic(out / "pairwise.md", to_markdown(document))
    write_atomic(out / "pairwise.html", to_html(document))


def pairwise_document(analysis: PairwiseAnalysis) -> Document:
    """Build the report."""
    first, second = analysis.first, analysis.second
    blocks: list[Block] = [
        Text(
            f"Which of two answers to the same problem is more in character, under persona {analysis.persona}: "
            f"{first} against {second} on {fmt.pluralize(analysis.problems, 'problem')} of task {analysis.task}. "
            "Every pair is judged in both orders. An answer wins where it is preferred in both; a pair whose verdict "
            "changes with the order, or is a tie in either, is a tie (the paper's Table 1, with the order exchanged). "
            "Intervals are 95 %, clustered by problem; p: by exchanging the two answers of a problem, two-sided."
        ),
        *_refused(analysis.judges),
        _rates_table(analysis),
        _position_table(analysis.judges),
        _failures(analysis.judges),
    ]
    if analysis.left_out:
        blocks.append(Text(f"{analysis.left_out} answers have no counterpart in the other folder and are left out."))
    return Document("Persona fidelity, in pairs", [], [Section(f"{first} and {second}", blocks)])


def _refused(judges: Judges) -> list[Block]:
    return [Text(f"Refused: {result.refused}.", lead=f"{judge}.") for judge, result in judges.items() if result.refused]


def _rates_table(analysis: PairwiseAnalysis) -> Block:
    first, second = analysis.first, analysis.second
    columns = (
        ("l", "judge"),
        ("r", "pairs"),
        ("l", f"{first} wins (%)"),
        ("l", f"{second} wins (%)"),
        ("r", "ties (%)"),
        ("l", f"{first} wins, without ties (%)"),
        ("l", "net margin (points)"),
        ("r", "p"),
    )
    rows = [
        [
            judge,
            str(result.pairs),
            fmt.with_limits(rates.first_wins),
            fmt.with_limits(rates.second_wins),
            fmt.percent(rates.ties),
            fmt.with_limits(rates.first_wins_without_ties),
            fmt.with_limits(rates.net_margin, fmt.points),
            fmt.p_value(rates.p_value),
        ]
        for judge, result in analysis.judges.items()
        if (rates := result.rates)
    ]
    return table("Wins, ties and margin.", columns, rows)


def _position_table(judges: Judges) -> Block:
    columns = (
        ("l", "judge"),
        ("l", "first place preferred (%)"),
        ("r", "flips: first place twice"),
        ("r", "flips: second place twice"),
        ("r", "pairs with both orders"),
    )
    rows = [
        [
            judge,
            fmt.with_limits(position.first_preferred),
            str(position.flipped_to_first),
            str(position.flipped_to_second),
            str(position.judged_in_both_orders),
        ]
        for judge, result in judges.items()
        if (position := result.position)
    ]
    caption = (
        "Position bias: of the choices for one of the two, those for the answer that stood first; 50 without a bias."
    )
    return table(caption, columns, rows)


def _failures(judges: Judges) -> Block:
    kinds = ("refused", "rejected", "cut", "malformed", "out_of_range", "missing")
    columns = (("l", "judge"), ("r", "wanted"), *(("r", kind.replace("_", " ")) for kind in kinds))
    rows = [
        [judge, str(counts["wanted"]), *(str(counts.get(kind, 0)) for kind in kinds)]
        for judge, result in judges.items()
        if (counts := result.counts)
    ]
    return table("Judgements that failed; none of them is a choice, and its pair is left out.", columns, rows)
