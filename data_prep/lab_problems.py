#!/usr/bin/env python
"""Generate problems of the lab in GSM8K's format: any number, either level, disjoint training and test questions.

Examples and options: permix_verl/cli/lab_problems.py, or --help.
"""

import importlib
import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    importlib.import_module("permix_verl.cli.environment").run_script("lab-problems")
