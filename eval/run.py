#!/usr/bin/env python
r"""Measure persona robustness: sample every problem under every persona several times, score and store the samples.

    python eval/run.py --model permix_verl/lab/model --tasks lab_easy --temperature 1 --top-p 1 --out results/base
    python eval/run.py --model meta-llama/Llama-3.1-8B-Instruct --tasks gsm8k,math500,aime24 --out results/llama
    python eval/run.py --model meta-llama/Llama-3.1-8B-Instruct --adapter runs/NAME/adapter --out results/permix
    python eval/run.py --model meta-llama/Llama-3.1-8B-Instruct --tasks livecodebench -T release=v1 --out results/code
    python eval/run.py --base-url http://localhost:8000/v1 --model NAME --out results/served
    python eval/report.py results/llama results/permix --out report/

The same command continues an interrupted or killed one. With more --runs, --tasks or --personas it adds samples.
Exit status: 0, or 1 if requests failed (the same command retries them).
"""

import importlib
import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    importlib.import_module("permix_verl.cli.environment").run_script("eval")
