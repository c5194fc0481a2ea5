#!/usr/bin/env python
"""Prepare GSM8K with one training persona per row, as parquet for verl.

    python data_prep/gsm8k_persona.py --out data/permix --tokenizer meta-llama/Llama-3.1-8B-Instruct
    python data_prep/gsm8k_persona.py --out data/rlvr --tokenizer ... --no-persona   # plain RLVR, same rows
    python data_prep/gsm8k_persona.py --task code --data problems.jsonl --out data/code   # programs (docs/code.md)

Writes train.parquet, val.parquet and manifest.json. Each training row's persona is sampled uniformly as a function of
(seed, epoch, row id). Validation problems are held out of the training problems and appear under every training persona
and without one; --dev-personas also holds personas out of training, for validation only. Test problems and evaluation
personas are never used.
"""

import importlib
import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    importlib.import_module("permix_verl.cli.environment").run_script("prep")
