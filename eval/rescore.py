#!/usr/bin/env python
"""Score stored samples again after a change of the reward or of a task file; needs no model.

python eval/rescore.py results/llama results/permix
python eval/rescore.py results/mine --tasks ./my_task.py
python eval/rescore.py results/code --tasks livecodebench=livecodebench/code_generation_lite
"""

import importlib
import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    importlib.import_module("permix_verl.cli.environment").run_script("rescore")
