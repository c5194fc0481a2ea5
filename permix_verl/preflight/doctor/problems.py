"""Check of the problems that a run prepares its rows from: that their fields are there, before anything else starts."""

from collections.abc import Iterator
from itertools import islice

from permix_verl.config.generated import generates_problems
from permix_verl.data.code_problems import CodeSource
from permix_verl.data.problem_sources import ProblemSource
from permix_verl.data.repeated_rows import UniqueRows
from permix_verl.data.source_spec import parse_sources
from permix_verl.errors import UserError
from permix_verl.preflight.doctor.types import Finding, Setup, error, ok, warning

READ_ROWS = 200
"""Rows of each source that are read; preparation reads all."""


def problem_sources(setup: Setup) -> Iterator[Finding]:
    """Check that the first rows of every local source can be read with the fields that are named."""
    data = setup.settings.get("permix.data")
    if not data or (setup.config is not None and generates_problems(setup.config)):
        return
    kind = CodeSource if setup.settings.get("permix.task") == "code" else ProblemSource
    try:
        sources = [kind(spec) for spec in parse_sources(str(data))]
        for source in sources:
            yield _finding(source)
    except UserError as problem:
        yield error(problem.problem, problem.remedy or "name other data (DATA=...)")


def _finding(source: ProblemSource) -> Finding:
    location = source.spec.location
    if source.files() is None:
        return ok(f"{location}: on the hub, not opened here")
    rows = list(islice(UniqueRows(source.rows), READ_ROWS))
    if not rows:
        return error(f"{location} has no problem", "give a file with one question and answer per row")
    bad = [row for row in rows if row.fault]
    if not bad:
        return ok(source.describe() or f"{location}: code problems")
    text = f"{len(bad)} of the first {len(rows)} golds cannot be read ({bad[0].where}: {bad[0].fault})"
    if source.spec.options.bad_golds == "drop" and len(bad) < len(rows):
        return warning(text, "their rows are left out (bad-golds=drop)")
    return error(text, "repair them, name another answer-field or gold, or add bad-golds=drop behind the source")
