#!/usr/bin/env python
"""Have a model write a question set for PersonaGym's five tasks, once: a fixed file that all models share.

Examples and options: permix_verl/cli/judge_questions.py, or --help.
"""

import importlib
import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    importlib.import_module("permix_verl.cli.environment").run_script("judge-questions")
