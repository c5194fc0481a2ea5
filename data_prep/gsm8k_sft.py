#!/usr/bin/env python
"""Prepare problems with targets, as parquet for verl's SFT trainer: the paper's SFT, PerMix-SFT and SeqKD methods.

    python data_prep/gsm8k_sft.py --out data/sft --tokenizer MODEL --no-persona              # SFT
    python data_prep/gsm8k_sft.py --out data/permix-sft --tokenizer MODEL                    # PerMix-SFT, ground truth
    python data_prep/gsm8k_sft.py --out data/styled --tokenizer MODEL --target styled \
        --engine-model gpt-5-mini --base-url https://api.openai.com/v1 --store targets/gpt-5-mini
    python data_prep/gsm8k_sft.py --out data/seqkd --tokenizer MODEL --target teacher --no-persona \
        --engine-model Qwen/Qwen3-32B --tensor-parallel-size 8 --store targets/qwen3-32b

Rows, validation problems and personas are those of gsm8k_persona.py with the same seed. Texts of a rewriter or teacher
are stored in --store, so the same command continues an interrupted or killed one. --dry-run prints ten prompts and the
expected tokens, and sends no request.
"""

import importlib
import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    importlib.import_module("permix_verl.cli.environment").run_script("prep-sft")
