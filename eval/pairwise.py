#!/usr/bin/env python
"""Compare two models' stored answers to the same problems: judges choose the one more in character (Table 1).

Examples and options: permix_verl/cli/compare.py, or --help.
"""

import importlib
import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    importlib.import_module("permix_verl.cli.environment").run_script("compare")
