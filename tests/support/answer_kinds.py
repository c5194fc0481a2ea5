"""Kinds of final answers (tests/data/answer_kinds.jsonl), and their table in docs/answers.md.

python tests/support/answer_kinds.py     # rewrites the table
"""

import json
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "answers.md"
BEGIN, END = "<!-- kinds -->", "<!-- /kinds -->"
RULES = {
    "powers": "A power is its value. An exponent on a unit is part of the unit.",
    "subscript_base": "A numeral with a base equals the same digits with the same base, and no other number.",
    "unclosed_mark": "A mark that is not closed where the text ends means no answer. A closed one behind it counts.",
    "spaced_minus": "A minus may stand off its number. On a line of its own it is a bullet.",
    "sentence_after_mark": "A sentence behind a mark is read for what it states, not for its first number.",
    "unmarked_conclusion": "Without a mark, the number that the text concludes with is the answer.",
    "bold_conclusion": "Without another mark, the last number in bold counts, unless a calculation follows.",
    "json": "A field named answer counts; without one, a field such as result. Values may be nested or calculations.",
    "plain_maths": "Roots, powers, products and pi may be written without LaTeX.",
    "hash_with_unit": "Behind `####` the first number counts, whatever numbers its unit has.",
    "decorated": "Bold type, quotes, brackets and tags around a number are no part of it.",
    "times": "A time of day is its hour if it is a whole one, and no other number.",
    "percent": "A percentage is its number, or its hundredth where that is no whole number.",
    "approximate_and_duration": "Words for about are dropped. A rate is its number; several units are no number.",
    "taken_back": "An answer that is taken back yields to the next one, of whatever mark.",
    "several_boxes": "Boxes joined by a comma, and, or are one answer if the gold is several; names in front are kept.",
    "tags_and_languages": "Tags may have attributes and other names. Words before an answer are known in 15 languages.",
    "decimal_comma": "A comma is a decimal point where the gold has decimals, or where it can be nothing else.",
    "no_false_credit": "Hedges, ranges, refusals, instructions and restated problems are no answer.",
}


def cases() -> list[dict[str, str]]:
    """Read the rows: ``kind``, ``gold``, ``output`` and the ``status`` that a careful reader gives."""
    return [json.loads(line) for line in (ROOT / "tests" / "data" / "answer_kinds.jsonl").read_text().splitlines()]


def table() -> str:
    """Return the kinds as a Markdown table: name, rule, a credited case and one without credit."""
    by_kind = defaultdict(list)
    for case in cases():
        by_kind[case["kind"]].append(case)
    lines = ["| kind | rule | credited (gold: output) | not credited | cases |", "|---|---|---|---|---|"]
    for kind, rule in RULES.items():
        mine = sorted(by_kind[kind], key=lambda case: len(case["output"]))
        credited = next(case for case in mine if case["status"] == "correct")
        other = next(
            (case for case in mine if case["status"] != "correct" and case["output"] == credited["output"]),
            next((case for case in mine if case["status"] != "correct"), None),
        )
        lines.append(f"| {kind} | {rule} | {_shown(credited)} | {_shown(other) if other else ''} | {len(mine)} |")
    return "\n".join(lines)


def _shown(case: dict[str, str]) -> str:
    text = case["output"].replace("\n", " \u23ce ").replace("|", "\\|")
    fence = "``" if "`" in text else "`"
    space = " " if fence == "``" else ""
    return f"`{case['gold']}`: {fence}{space}{text}{space}{fence}"


def page_with_table() -> str:
    """Return the page with the current table."""
    before, _, rest = PAGE.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{table()}\n{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(page_with_table())
