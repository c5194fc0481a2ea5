#!/usr/bin/env python
"""Train the lab's base model from scratch: about 14 minutes on 2 cores.

    python data_prep/lab_base.py --out runs/lab-base
    LAB=1 MODEL=runs/lab-base bash recipes/run_permix_grpo.sh

Writes a Hugging Face model folder, and manifest.json with the settings and the accuracy of each style and level.
The same arguments, machine, torch and number of threads (OMP_NUM_THREADS) give the same weights.
"""

import importlib
import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    importlib.import_module("permix_verl.cli.environment").run_script("lab-base")
