#!/usr/bin/env python
"""Score stored samples again after a change of the reward or of a task file; needs no model.

Examples and options: permix_verl/cli/rescore.py, or --help.
"""

import importlib
import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    importlib.import_module("permix_verl.cli.environment").run_script("rescore")
