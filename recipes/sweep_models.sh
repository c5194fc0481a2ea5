#!/usr/bin/env bash
# The paper's Figure 2: the effect of personas on 12 released models on MATH500 and AIME 2024 (its Tables 8 and 9).
#
#   bash recipes/sweep_models.sh                                       # all of them; the same command resumes
#   DRY_RUN=1 GPUS=8 GPU_GIB=24 bash recipes/sweep_models.sh           # print commands, samples and tokens, run nothing
#   MODELS="Qwen/Qwen3-4B runs/mine/merged" LIMIT=50 bash recipes/sweep_models.sh
#   MODELS=Qwen/Qwen3-4B bash recipes/sweep_models.sh --adapter PATH   # more arguments go to every permix eval
#
# Every knob: permix sweep --help. Llama and Gemma require accepted licences at the hub.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/setup_env.sh"   # PYTHON: in .venv, made on first use
exec "$PYTHON" -m permix_verl.cli.main sweep "$@"
