#!/usr/bin/env python
r"""Have a model write a question set for PersonaGym's five tasks, once: a fixed file that all models share.

    python eval/personagym_questions.py --writer gpt-5-mini@https://api.openai.com/v1 --personas eval --number 10 \
        --out questions/eval-10.json
    python eval/personagym.py --questions questions/eval-10.json ...

The same command continues an interrupted or killed one.
"""

import importlib
import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    importlib.import_module("permix_verl.cli.environment").run_script("judge-questions")
