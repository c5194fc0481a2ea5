#!/usr/bin/env python
"""Train the lab's base model from scratch: about 14 minutes on 2 cores.

Examples and options: permix_verl/cli/lab_base.py, or --help.
"""

import importlib
import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    importlib.import_module("permix_verl.cli.environment").run_script("lab-base")
