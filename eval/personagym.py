#!/usr/bin/env python
"""Measure persona fidelity: a model answers PersonaGym's five tasks, and judges score its answers.

Examples and options: permix_verl/cli/judge.py, or --help.
"""

import importlib
import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    importlib.import_module("permix_verl.cli.environment").run_script("judge")
