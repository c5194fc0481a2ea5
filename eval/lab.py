#!/usr/bin/env python
r"""Compare Base, RLVR and PerMix-RLVR in the lab: figures, the paper's claims, theory against measurement.

    python eval/lab.py --base results/lab/base --arm RLVR=results/lab/rlvr-seed0,results/lab/rlvr-seed1 \
        --arm PerMix-RLVR=results/lab/permix-seed0,results/lab/permix-seed1 --out results/lab/report

Reads results folders of eval/run.py, one per seed. Methods of any name can be compared; the paper's claims are
tested on RLVR and PerMix-RLVR. Writes the evaluation's report with the lab's sections in front, and lab.json
with all figures of those sections.
"""

import importlib
import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    importlib.import_module("permix_verl.cli.environment").run_script("lab")
