#!/usr/bin/env python
r"""Measure persona fidelity: a model answers PersonaGym's five tasks, and judges score its answers.

    python eval/personagym.py --model meta-llama/Llama-3.1-8B-Instruct --adapter runs/NAME/adapter \
        --judge gpt-5-mini@https://api.openai.com/v1 \
        --judge '{"model": "deepseek-chat", "base_url": "https://api.deepseek.com/v1", "key_env": "DEEPSEEK_API_KEY"}' \
        --out results/permix
    python eval/report.py results/base results/permix --out report/

Personas and questions default to the packaged ones; the model gets the pool's system prompts. --out may be the
folder of eval/run.py's results of the same model: the report then shows fidelity beside accuracy and PSS.
The same command continues an interrupted or killed one; further judges and scorings are added to the folder.
API keys come from the environment: OPENAI_API_KEY, or the variable named by a judge's key_env. Exit status: 0, or 1 if
requests failed.
"""

import importlib
import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    importlib.import_module("permix_verl.cli.environment").run_script("judge")
