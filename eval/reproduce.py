#!/usr/bin/env python
"""Reproduce a table of the paper: train and evaluate every method in turn, resumable. Called by recipes/reproduce.sh.

    python eval/reproduce.py 2 --dry-run          # commands, tokens, GPU hours, judge calls; runs nothing
    python eval/reproduce.py 11

Each method is trained by its recipe and evaluated by eval/run.py. Both resume, so the same command continues a stopped
reproduction. A failing step ends the command with that step's exit status.
"""

import importlib
import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    importlib.import_module("permix_verl.cli.environment").run_script("reproduce")
