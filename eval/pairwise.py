#!/usr/bin/env python
r"""Compare two models' stored answers to the same problems: judges choose the one more in character (Table 1).

    python eval/run.py --model A --tasks math500 --personas eval:kindergarten --runs 1 --out results/A    # and B
    python eval/pairwise.py --a results/A --b results/B --persona kindergarten \
        --judge deepseek-chat@https://api.deepseek.com/v1 --out results/A-B

Judges see every pair in both orders; a choice that changes with the order is a tie. Writes pairwise.md, .html and
.json. Every reply is stored, so the same command continues an interrupted or killed one. Exit status: 0, or 1 if
requests failed.
"""

import importlib
import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    importlib.import_module("permix_verl.cli.environment").run_script("compare")
