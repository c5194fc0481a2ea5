"""Tables in docs/doctor.md of the failures that ``permix doctor --explain`` knows.

python tests/support/explain_table.py     # rewrites them
"""

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

from permix_verl.explain.signatures import GROUPS, HERE, REPOSITORIES

ROOT = Path(__file__).resolve().parents[2]
LOGS = ROOT / "tests" / "data" / "logs"
PAGE = ROOT / "docs" / "doctor.md"
BEGIN, END = "<!-- failures -->", "<!-- /failures -->"


def causes() -> list[dict[str, Any]]:
    """Read the cases: the ``log``, how it was ``provoked``, and the expected explanation.

    ``id`` is a signature's id, "ours", or null for an unknown failure; ``process`` and ``said`` are parts of the
    explanation.
    """
    return [json.loads(line) for line in (LOGS / "causes.jsonl").read_text().splitlines()]


def table() -> str:
    """Return a table for each group, and the repositories of the linked threads."""
    logs = defaultdict(list)
    for cause in causes():
        logs[cause["id"]].append(cause["log"])
    lines = []
    for name, signatures in GROUPS.items():
        lines += [
            "",
            f"**{name[0].upper()}{name[1:]}**",
            "",
            "| id | cause | remedy | threads | logs |",
            "|---|---|---|---|---|",
        ]
        for signature in signatures:
            threads = ", ".join(source for source in signature.sources if source != HERE)
            cells = (signature.cause, signature.remedy, threads, ", ".join(logs[signature.id]))
            lines.append("| " + " | ".join((f"`{signature.id}`", *(cell.replace("|", "\\|") for cell in cells))) + " |")
    named = {source.rpartition(" #")[0] for group in GROUPS.values() for one in group for source in one.sources} - {""}
    repositories = ", ".join(f"{name} {REPOSITORIES[name]}" for name in sorted(named, key=str.lower))
    return "\n".join([*lines[1:], "", f"Threads are on GitHub: {repositories}."])


def page_with_table() -> str:
    """Return the page with the current tables."""
    before, _, rest = PAGE.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{table()}\n{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(page_with_table())
