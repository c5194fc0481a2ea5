"""Audit as files: an HTML page of cases, a CSV of all outputs, and the counts as JSON."""

import base64
import csv
import hashlib
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from importlib import metadata, resources
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from permix_verl.audit.cases import AGREED, CHECKERS, KINDS, STRICT, AuditCase, select_cases
from permix_verl.audit.counts import Counts
from permix_verl.audit.terminal import column_legend, describe_result
from permix_verl.report.document import Block, Document, Table, Text, table
from permix_verl.report.formatting import percent, pluralize
from permix_verl.report.html import to_html
from permix_verl.utils.files import write_files_atomic

CASES = 1000
"""Maximum number of cases on the page."""
SCRIPT = """
const chosen = ["persona", "mark"].map(name => [name, document.getElementById(name)]).filter(([, list]) => list);
const show = () => {
  let left = 0;
  for (const article of document.querySelectorAll("article")) {
    article.hidden = !chosen.every(([name, list]) => !list.value || article.dataset[name] === list.value);
    left += !article.hidden;
  }
  document.getElementById("shown").textContent = `${left} shown`;
};
for (const [, list] of chosen) { list.value = ""; list.addEventListener("change", show); }
show();
"""
"""The page's only script; its content security policy allows no other."""


def write_audit(
    out: Path, cases: list[AuditCase], overall: Counts, marks: Mapping[str, Counts], personas: Mapping[str, Counts]
) -> None:
    """Write audit.html, audit.csv and audit.json, all or none.

    Args:
        out: output folder.
        marks, personas: counts by mark and by persona.

    Raises:
        UserError: the folder cannot be written.
    """
    counts = {
        "math_verify": metadata.version("math-verify"),
        "overall": overall.as_json(),
        "marks": {name: group.as_json() for name, group in marks.items()},
        "personas": {name: group.as_json() for name, group in personas.items()},
    }
    texts = {
        "audit.html": audit_page(cases, overall, marks, personas),
        "audit.csv": audit_csv(cases),
        "audit.json": json.dumps(counts, indent=1, ensure_ascii=False) + "\n",
    }
    write_files_atomic(out, texts)


def audit_csv(cases: Iterable[AuditCase]) -> str:
    """Format one CSV row an output, in order; ``label`` is true, false or empty, ``difference`` a key of KINDS."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    names = [checker.replace("-", "_") for checker in CHECKERS]
    head = ["file", "line", "id", "persona", "mark", "gold", "label", *names, *(f"{name}_pred" for name in names)]
    writer.writerow([*head, "difference"])
    for case in cases:
        results = [case.results[checker] for checker in CHECKERS]
        label = "" if case.label is None else str(case.label).lower()
        row = [case.file, case.line, case.name, case.persona, case.mark, case.gold, label]
        row += [result.status for result in results] + [result.pred for result in results]
        writer.writerow([*row, case.kind])
    return stream.getvalue()


def audit_page(
    cases: list[AuditCase], overall: Counts, marks: Mapping[str, Counts], personas: Mapping[str, Counts]
) -> str:
    """Render the page: the report's layout with the cases after its tables; self-contained."""
    shown = select_cases(cases, CASES, agreed=True)
    digest = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    parts: Any = _template().module
    body = parts.body(
        groups=_groups(shown, overall),
        personas=[(name, name or "(none)") for name in sorted(personas)],
        marks=[(name, name) for name in sorted(marks)],
        left_out=len(cases) - len(shown),
        script=Markup(SCRIPT),
    )
    page = to_html(_document(overall, marks, personas))
    page = page.replace("</head>", f"{parts.head(policy)}</head>", 1)
    before, end, after = page.rpartition("</body>")
    return f"{before}{body}{end}{after}"


def _template() -> jinja2.Template:
    source = resources.files(__package__).joinpath("page.html.jinja").read_text(encoding="utf-8")
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.globals["describe_result"] = describe_result
    return environment.from_string(source)


def _groups(shown: Sequence[AuditCase], overall: Counts) -> list[dict[str, Any]]:
    groups: list[dict[str, Any]] = []
    for kind, what in KINDS.items():
        of_kind = [case for case in shown if case.kind == kind]
        if of_kind:
            about = {"title": what, "total": overall.kinds[kind], "agreed": kind == AGREED}
            about["open"] = not groups or kind not in (STRICT, AGREED)
            groups.append({**about, "cases": of_kind})
    return groups


def _document(overall: Counts, marks: Mapping[str, Counts], personas: Mapping[str, Counts]) -> Document:
    about = Text(
        f"{pluralize(overall.outputs, 'answer')} checked by the reward file as in training (lenient), by the same "
        f"with closed boxes and #### only (strict), and by math-verify {metadata.version('math-verify')} with the "
        f"gold in a box. {pluralize(overall.differences, 'difference')}: a wrong answer and no answer count as the "
        "same, since neither is credited."
    )
    blocks: list[Block] = [
        about,
        Text(column_legend(overall)),
        _table("All answers.", {"all": overall}),
        _table("By mark: how the answer is marked.", marks),
    ]
    if set(personas) != {""}:
        named = {name or "(none)": counts for name, counts in personas.items()}
        blocks.append(_table("By persona, those with the most differences first.", named, folded=len(named) > 20))
    return Document("Audit of the answer checker", blocks, [])


def _table(caption: str, groups: Mapping[str, Counts], *, folded: bool = False) -> Table:
    labelled = any(counts.labelled for counts in groups.values())
    heads = ["right", "none", *(["lost", "false"] if labelled else [])]
    columns = [("l", ""), ("r", "answers"), *(("r", f"{checker} {head}") for checker in CHECKERS for head in heads)]
    rows = []
    for name, counts in groups.items():
        row = [name, str(counts.outputs)]
        for tally in counts.checkers.values():
            row += [percent(tally.statuses[status] / counts.outputs) for status in ("correct", "no_answer")]
            row += [str(tally.lost), str(tally.credited)] if labelled else []
        rows.append([*row, str(counts.differences)])
    return table(caption, [*columns, ("r", "differ\u00adences")], rows, folded=folded)
