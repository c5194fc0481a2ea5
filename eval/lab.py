#!/usr/bin/env python
"""Compare Base, RLVR and PerMix-RLVR in the lab: figures, the paper's claims, theory against measurement.

Examples and options: permix_verl/cli/lab.py, or --help.
"""

import importlib
import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    importlib.import_module("permix_verl.cli.environment").run_script("lab")
