"""The report: what was measured, what it can be said to show, and what it cannot.

    from permix_verl.report import analyse_inputs, write_report
    analysis = analyse_inputs([Path("results/base"), Path("results/permix")])
    write_report(analysis, Path("report"))

Six files: report.md and report.html for reading, report.json with every figure, summary.csv
and personas.csv for spreadsheets, table2.tex for a paper; with judgements of persona fidelity,
fidelity.csv too. The same input gives the same bytes.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from permix_verl.report.build import build_document
from permix_verl.report.document import Section
from permix_verl.report.export_tables import fidelity_csv, personas_csv, printed_summary, summary_csv, table2_latex
from permix_verl.report.figures.svg import check_matplotlib, draw_figures
from permix_verl.report.html import to_html
from permix_verl.report.inputs import analyse_inputs
from permix_verl.report.markdown import to_markdown
from permix_verl.utils.files import check_folder, write_folder

__all__ = ["FILES", "analyse_inputs", "make_report", "write_report"]

FILES = ("report.md", "report.html", "report.json", "summary.csv", "personas.csv", "table2.tex")
"""Of every report; where fidelity was judged, fidelity.csv too."""


def make_report(
    paths: Sequence[Path],
    out: Path,
    *,
    seed: int = 0,
    draws: int = 2000,
    allow_incomplete: bool = False,
    judges: Sequence[str] | None = None,
) -> str:
    """Analyse and write.

    Args:
        paths: results folders, and CSV files that ``accuracy_csv.read_accuracies`` reads.
        out: folder for the report; other files in it stay.
        seed: of splits, permutations and bootstraps.
        draws: permutations of each invariance test.
        allow_incomplete: leave out problems of which a sample is missing, instead of refusing.
        judges: of persona fidelity, by name; ``None``: all.

    Returns:
        A short table to print.

    Raises:
        UserError: bad input, see :func:`analyse_inputs`; ``out`` is not or cannot be a folder.
    """
    # Before the analysis, which may take minutes.
    check_matplotlib()
    check_folder(out)
    analysis = _without_nan(
        analyse_inputs(paths, seed=seed, draws=draws, allow_incomplete=allow_incomplete, judges=judges)
    )
    write_report(analysis, out)
    return printed_summary(analysis)


def write_report(analysis: dict[str, Any], out: Path, sections: Sequence[Section] = ()) -> None:
    """Write the files into a folder beside ``out``, then move each into place.

    Args:
        sections: of one's own, in front of the tasks'.

    Raises:
        UserError: ``out`` is not or cannot be a folder.
    """
    check_matplotlib()
    check_folder(out)
    analysis = _without_nan(analysis)
    document = build_document(analysis, draw_figures(analysis))
    document = replace(document, sections=[*sections, *document.sections])
    texts = {
        "report.md": to_markdown(document),
        "report.html": to_html(document),
        "report.json": json.dumps(analysis, indent=1, ensure_ascii=False, allow_nan=False) + "\n",
        "summary.csv": summary_csv(analysis),
        "personas.csv": personas_csv(analysis),
        "table2.tex": table2_latex(analysis),
    }
    if fidelity := fidelity_csv(analysis):
        texts["fidelity.csv"] = fidelity
    write_folder(out, texts)


def _without_nan(value: Any) -> Any:
    """The same with ``None`` for NaN, which JSON does not know."""
    if isinstance(value, dict):
        return {key: _without_nan(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(inner) for inner in value]
    return None if isinstance(value, float) and math.isnan(value) else value
