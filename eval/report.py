#!/usr/bin/env python
"""Report persona robustness and fidelity, from results folders and from CSV files of accuracies.

Examples and options: permix_verl/cli/report.py, or --help.
"""

import importlib
import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    importlib.import_module("permix_verl.cli.environment").run_script("report")
