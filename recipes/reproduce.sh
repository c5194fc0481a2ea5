#!/usr/bin/env bash
# Reproduce a table of the paper (arXiv 2604.08986): train and evaluate every method, and print it beside the paper's rows.
#
#   DRY_RUN=1 bash recipes/reproduce.sh 2          # commands, GPU hours, tokens and judge calls; runs nothing
#   REWRITER=gpt-5-mini BASE_URL=https://api.openai.com/v1 bash recipes/reproduce.sh 2
#   SEEDS=3 bash recipes/reproduce.sh 11           # AIME 2024; means over seeds 0, 1 and 2
#   LAB=1 bash recipes/reproduce.sh 2              # in the lab (docs/lab.md), on a laptop: about 35 minutes
#
# Tables 2 (teacher-free), 3 (distillation), 4 and 12 (code), 10 (PersonaGym), 11 (AIME 2024). The same command resumes;
# methods that tables share are trained once. Every knob: permix reproduce --help; those of permix train apply to all.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/setup_env.sh"   # PYTHON: in .venv, made on first use
exec "$PYTHON" -m permix_verl.cli.main reproduce "$@"
