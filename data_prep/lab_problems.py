#!/usr/bin/env python
"""Generate problems of the lab in GSM8K's format: any number, either level, disjoint training and test questions.

python data_prep/lab_problems.py --count 2000 --out runs/lab/train.jsonl
python data_prep/lab_problems.py --count 500 --level hard --split test --out hard.jsonl
"""

import importlib
import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    importlib.import_module("permix_verl.cli.environment").run_script("lab-problems")
