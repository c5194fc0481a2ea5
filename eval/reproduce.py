#!/usr/bin/env python
"""Reproduce a table of the paper: train and evaluate every method in turn, resumable. Called by recipes/reproduce.sh.

Examples and options: permix_verl/cli/reproduce.py, or --help.
"""

import importlib
import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    importlib.import_module("permix_verl.cli.environment").run_script("reproduce")
