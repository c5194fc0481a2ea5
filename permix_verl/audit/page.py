"""An audit as files: a page to look through, a table of all outputs, and the counts."""

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

from permix_verl.audit.counts import Counts
from permix_verl.audit.table import legend, read
from permix_verl.audit.verdicts import AGREED, JUDGES, KINDS, STRICT, Case, chosen
from permix_verl.report.document import Block, Document, Table, Text, table
from permix_verl.report.formatting import counted, percent
from permix_verl.report.html import to_html
from permix_verl.utils.files import write_folder

CASES = 1000
"""Most cases on a page."""
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
"""The page's only script; its policy allows no other."""


def write_audit(
    out: Path, cases: list[Case], overall: Counts, marks: Mapping[str, Counts], personas: Mapping[str, Counts]
) -> None:
    """Write audit.html, audit.csv and audit.json, all of them or none.

    Args:
        out: the folder.
        marks, personas: counts of each group.

    Raises:
        UserError: the folder cannot be written to.
    """
    counts = {
        "math_verify": metadata.version("math-verify"),
        "overall": overall.plain(),
        "marks": {name: group.plain() for name, group in marks.items()},
        "personas": {name: group.plain() for name, group in personas.items()},
    }
    texts = {
        "audit.html": audit_page(cases, overall, marks, personas),
        "audit.csv": audit_csv(cases),
        "audit.json": json.dumps(counts, indent=1, ensure_ascii=False) + "\n",
    }
    write_folder(out, texts)


def audit_csv(cases: Iterable[Case]) -> str:
    """A row for each output, in order; ``label`` is true, false or empty, ``difference`` a name of KINDS."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    names = [judge.replace("-", "_") for judge in JUDGES]
    head = ["file", "line", "id", "persona", "mark", "gold", "label", *names, *(f"{name}_pred" for name in names)]
    writer.writerow([*head, "difference"])
    for case in cases:
        verdicts = [case.verdicts[judge] for judge in JUDGES]
        label = "" if case.label is None else str(case.label).lower()
        row = [case.file, case.line, case.name, case.persona, case.mark, case.gold, label]
        row += [verdict.status for verdict in verdicts] + [verdict.pred for verdict in verdicts]
        writer.writerow([*row, case.kind])
    return stream.getvalue()


def audit_page(cases: list[Case], overall: Counts, marks: Mapping[str, Counts], personas: Mapping[str, Counts]) -> str:
    """The page: the report's, with the cases behind its tables. It needs nothing else; no other script runs."""
    shown = chosen(cases, CASES, agreed=True)
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
    environment.globals["read"] = read
    return environment.from_string(source)


def _groups(shown: Sequence[Case], overall: Counts) -> list[dict[str, Any]]:
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
        f"{counted(overall.answers, 'answer')} judged by the reward file as it is in training (lenient), by the same "
        f"with closed boxes and #### alone (strict), and by math-verify {metadata.version('math-verify')} with the "
        f"gold in a box. {counted(overall.differences, 'difference')}: a wrong answer and none are alike, "
        "since neither is credited."
    )
    blocks: list[Block] = [
        about,
        Text(legend(overall)),
        _table("All answers.", {"all": overall}),
        _table("By mark: what marks the answer.", marks),
    ]
    if set(personas) != {""}:
        named = {name or "(none)": counts for name, counts in personas.items()}
        blocks.append(_table("By persona, those with the most differences first.", named, folded=len(named) > 20))
    return Document("Audit of the answer checker", blocks, [])


def _table(caption: str, groups: Mapping[str, Counts], *, folded: bool = False) -> Table:
    labelled = any(counts.labelled for counts in groups.values())
    heads = ["right", "none", *(["lost", "false"] if labelled else [])]
    columns = [("l", ""), ("r", "answers"), *(("r", f"{judge} {head}") for judge in JUDGES for head in heads)]
    rows = []
    for name, counts in groups.items():
        row = [name, str(counts.answers)]
        for tally in counts.judges.values():
            row += [percent(tally.statuses[status] / counts.answers) for status in ("correct", "no_answer")]
            row += [str(tally.lost), str(tally.credited)] if labelled else []
        rows.append([*row, str(counts.differences)])
    return table(caption, [*columns, ("r", "differ\u00adences")], rows, folded=folded)
