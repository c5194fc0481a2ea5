#!/usr/bin/env python
"""Measure persona robustness: sample every problem under every persona several times, score and store the samples.

Examples and options: permix_verl/cli/eval.py, or --help.
"""

import importlib
import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    importlib.import_module("permix_verl.cli.environment").run_script("eval")
