"""Two models compared in pairs, as a page."""

from collections.abc import Mapping
from typing import Any

from permix_verl.report import formatting as fmt
from permix_verl.report.document import Block, Document, Section, Text, table


def pairwise_document(analysis: Mapping[str, Any]) -> Document:
    """Of ``fidelity.pairwise.analyse_pairs``'s plain data."""
    first, second = analysis["first"], analysis["second"]
    judged = {judge: found for judge, found in analysis["judges"].items() if not found["refused"]}
    rates = [
        [
            judge,
            str(found["pairs"]),
            fmt.with_limits(found["first_wins"]),
            fmt.with_limits(found["second_wins"]),
            fmt.percent(found["ties"]),
            fmt.with_limits(found["first_wins_without_ties"]),
            fmt.with_limits(found["net_margin"], fmt.points),
            fmt.p_value(found["p_value"]),
        ]
        for judge, found in judged.items()
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
        Text(f"Refused: {found['refused']}.", lead=f"{judge}.") for judge, found in judges.items() if found["refused"]
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
            fmt.with_limits(found["position"]["first_preferred"]),
            *(str(found["position"][name]) for name in counts),
        ]
        for judge, found in judges.items()
        if found["position"]
    ]
    caption = (
        "Position bias: of the choices for one of the two, those for the answer that stood first; 50 without a bias."
    )
    return table(caption, columns, rows)


def _failures(judges: Mapping[str, Any]) -> Block:
    kinds = ("refused", "rejected", "cut", "malformed", "out_of_range", "missing")
    columns = (("l", "judge"), ("r", "wanted"), *(("r", kind.replace("_", " ")) for kind in kinds))
    rows = [
        [judge, str(found["counts"]["wanted"]), *(str(found["counts"].get(kind, 0)) for kind in kinds)]
        for judge, found in judges.items()
        if found["counts"]
    ]
    return table("Judgements that failed; none of them is a choice, and its pair is left out.", columns, rows)
