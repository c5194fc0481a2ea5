"""Report on persona robustness and fidelity: tables, tests and figures from results folders and CSV files.

    from permix_verl.report import analyse_inputs, write_report
    analysis = analyse_inputs([Path("results/base"), Path("results/permix")])
    write_report(analysis, Path("report"))

Six files are written: report.md and report.html for reading, report.json with every number,
summary.csv and personas.csv for spreadsheets, and table2.tex for a paper. With judgements of
persona fidelity, fidelity.csv is added, with methods pooled over training seeds
(``SeedGroup`` among the inputs) pooled.csv, and with categories of the personas categories.csv
and categories.tex. The same input gives the same bytes.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from permix_verl.report.build import build_document
from permix_verl.report.csv_export import categories_csv, fidelity_csv, personas_csv, pooled_csv, summary_csv
from permix_verl.report.document import Section
from permix_verl.report.figures.svg import check_matplotlib, render_figures
from permix_verl.report.html import to_html
from permix_verl.report.inputs import ReportAnalysis, SeedGroup, analyse_inputs
from permix_verl.report.json_export import report_json
from permix_verl.report.latex_export import categories_latex, table2_latex
from permix_verl.report.markdown import to_markdown
from permix_verl.report.terminal import terminal_summary
from permix_verl.utils.files import check_folder, write_files_atomic

__all__ = ["CATEGORY_FILES", "FILES", "ReportAnalysis", "SeedGroup", "analyse_inputs", "make_report", "write_report"]

FILES = ("report.md", "report.html", "report.json", "summary.csv", "personas.csv", "table2.tex")
"""Files of every report; fidelity.csv is added if fidelity was judged, pooled.csv if training seeds were pooled."""
CATEGORY_FILES = ("categories.csv", "categories.tex")
"""Files that are added if the personas' categories are known."""


def make_report(
    inputs: Sequence[Path | SeedGroup],
    out: Path,
    *,
    seed: int = 0,
    resamples: int = 2000,
    allow_incomplete: bool = False,
    judges: Sequence[str] | None = None,
) -> str:
    """Analyse the inputs and write the report.

    Args:
        inputs: results folders, groups of them to pool as well, and CSV files in the format of
            ``accuracy_csv.read_accuracies``.
        out: folder for the report; other files in it are kept.
        seed: seed of the splits, permutations and bootstraps.
        resamples: permutations of each invariance test.
        allow_incomplete: leave out problems with missing samples instead of raising.
        judges: names of the judges of persona fidelity to include; ``None`` for all.

    Returns:
        A short summary table for the terminal.

    Raises:
        UserError: invalid input (see :func:`analyse_inputs`), no matplotlib, or ``out`` cannot be a folder.
    """
    # Check before the analysis, which may take minutes.
    check_matplotlib()
    check_folder(out)
    analysis = analyse_inputs(inputs, seed=seed, resamples=resamples, allow_incomplete=allow_incomplete, judges=judges)
    write_report(analysis, out)
    return terminal_summary(analysis)


def write_report(analysis: ReportAnalysis, out: Path, sections: Sequence[Section] = ()) -> None:
    """Write the report's files into a temporary folder beside ``out``, then move each into place.

    Args:
        analysis: the result of :func:`analyse_inputs`.
        sections: additional sections, placed before the tasks.

    Raises:
        UserError: no matplotlib, or ``out`` cannot be a folder.
    """
    check_matplotlib()
    check_folder(out)
    tasks = analysis.accuracy.tasks
    document = build_document(analysis, render_figures(tasks))
    document = replace(document, sections=[*sections, *document.sections])
    texts = {
        "report.md": to_markdown(document),
        "report.html": to_html(document),
        "report.json": report_json(analysis),
        "summary.csv": summary_csv(tasks),
        "personas.csv": personas_csv(tasks),
        "table2.tex": table2_latex(tasks),
    }
    if categories := categories_csv(tasks):
        texts |= dict(zip(CATEGORY_FILES, (categories, categories_latex(tasks)), strict=True))
    if fidelity := fidelity_csv(analysis.fidelity):
        texts["fidelity.csv"] = fidelity
    if analysis.pooled:
        texts["pooled.csv"] = pooled_csv(analysis.pooled)
    write_files_atomic(out, texts)
