"""Report of a pairwise fidelity comparison of two models."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from permix_verl.report import formatting as fmt
from permix_verl.report.document import Block, Document, Section, Text, table
from permix_verl.report.html import to_html
from permix_verl.report.markdown import to_markdown
from permix_verl.utils.files import write_atomic


def write_pairwise(analysis: Mapping[str, Any], out: Path) -> None:
    """Write ``pairwise.json``, ``.md`` and ``.html`` to ``out``.

    Args:
        analysis: the result of ``fidelity.pairwise.analysis.analyse_pairs`` as plain data.
        out: an existing folder.
    """
    document = pairwise_document(analysis)
    write_atomic(out / "pairwise.json", json.dumps(analysis, indent=1, ensure_ascii=False) + "\n")
    write_atomic(out / "pairwise.md", to_markdown(document))
    write_atomic(out / "pairwise.html", to_html(document))


def pairwise_document(analysis: Mapping[str, Any]) -> Document:
    """Build the report from the plain data of ``fidelity.pairwise.analysis.analyse_pairs``."""
    first, second = analysis["first"], analysis["second"]
    judged = {judge: result for judge, result in analysis["judges"].items() if not result["refused"]}
    rates = [
        [
            judge,
            str(result["pairs"]),
            fmt.with_limits(result["first_wins"]),
            fmt.with_limits(result["second_wins"]),
            fmt.percent(result["ties"]),
            fmt.with_limits(result["first_wins_without_ties"]),
            fmt.with_limits(result["net_margin"], fmt.points),
            fmt.p_value(result["p_value"]),
        ]
        for judge, result in judged.items()
    ]
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
    blocks: list[Block] = [
        Text(
            f"Which of two answers to the same problem is more in character, under persona {analysis['persona']}: "
            f"{first} against {second} on {fmt.counted(analysis['problems'], 'problem')} of task {analysis['task']}. "
            "Every pair is judged in both orders. An answer wins where it is preferred in both; a pair whose verdict "
            "changes with the order, or is a tie in either, is a tie (the paper's Table 1, with the order exchanged). "
            "Intervals are 95 %, clustered by problem; p: by exchanging the two answers of a problem, two-sided."
        ),
        *_refused(analysis["judges"]),
        table("Wins, ties and margin.", columns, rates),
        _position_table(analysis["judges"]),
        _failures(analysis["judges"]),
    ]
    if analysis["left_out"]:
        blocks.append(Text(f"{analysis['left_out']} answers have no counterpart in the other folder and are left out."))
    return Document("Persona fidelity, in pairs", [], [Section(f"{first} and {second}", blocks)])


def _refused(judges: Mapping[str, Any]) -> list[Block]:
    return [
        Text(f"Refused: {result['refused']}.", lead=f"{judge}.")
        for judge, result in judges.items()
        if result["refused"]
    ]


def _position_table(judges: Mapping[str, Any]) -> Block:
    columns = (
        ("l", "judge"),
        ("l", "first place preferred (%)"),
        ("r", "flips: first place twice"),
        ("r", "flips: second place twice"),
        ("r", "pairs with both orders"),
    )
    counts = ("flipped_to_first", "flipped_to_second", "judged_in_both_orders")
    rows = [
        [
            judge,
            fmt.with_limits(result["position"]["first_preferred"]),
            *(str(result["position"][name]) for name in counts),
        ]
        for judge, result in judges.items()
        if result["position"]
    ]
    caption = (
        "Position bias: of the choices for one of the two, those for the answer that stood first; 50 without a bias."
    )
    return table(caption, columns, rows)


def _failures(judges: Mapping[str, Any]) -> Block:
    kinds = ("refused", "rejected", "cut", "malformed", "out_of_range", "missing")
    columns = (("l", "judge"), ("r", "wanted"), *(("r", kind.replace("_", " ")) for kind in kinds))
    rows = [
        [judge, str(result["counts"]["wanted"]), *(str(result["counts"].get(kind, 0)) for kind in kinds)]
        for judge, result in judges.items()
        if result["counts"]
    ]
    return table("Judgements that failed; none of them is a choice, and its pair is left out.", columns, rows)
