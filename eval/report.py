#!/usr/bin/env python
r"""Report persona robustness and fidelity, from results folders and from CSV files of accuracies.

    python eval/report.py results/base results/rlvr results/permix --out report/
    python eval/report.py docs/paper_tables/table8_math500.csv --out report/

Results folders are those of eval/run.py and eval/personagym.py. Writes report.md, report.html (one page with figures),
report.json, summary.csv, personas.csv and table2.tex, and fidelity.csv if fidelity was judged. A CSV file holds
accuracies per persona without per-problem results, so it gets no intervals and tests; its file name is the task, its
columns are the models.
"""

import importlib
import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    importlib.import_module("permix_verl.cli.environment").run_script("report")
