#!/usr/bin/env python
"""Prepare problems with targets, as parquet for verl's SFT trainer: the paper's SFT, PerMix-SFT and SeqKD methods.

Examples and options: permix_verl/cli/prep_sft.py, or --help.
"""

import importlib
import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    importlib.import_module("permix_verl.cli.environment").run_script("prep-sft")
