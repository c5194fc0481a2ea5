#!/usr/bin/env python
"""Prepare GSM8K with one training persona per row, as parquet for verl.

Examples and options: permix_verl/cli/prep.py, or --help.
"""

import importlib
import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    importlib.import_module("permix_verl.cli.environment").run_script("prep")
