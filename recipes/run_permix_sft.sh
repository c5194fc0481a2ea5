#!/usr/bin/env bash
# PerMix-SFT (the paper, section B.2): a sampled persona for every row, and as the target
#   TARGET=gt      the data set's own rationale and answer (default), or
#   TARGET=styled  the same rewritten in the persona's voice; the paper's rewriter is GPT-5-mini.
#
#   bash recipes/run_permix_sft.sh
#   TARGET=styled REWRITER=gpt-5-mini BASE_URL=https://api.openai.com/v1 PRICE=0.25,2.00 \
#       TARGET_ARGS='--request-args {"reasoning_effort":"minimal"}' bash recipes/run_permix_sft.sh
#   TARGET=styled TARGET_ARGS=--dry-run ...     # ten rewriting prompts and the expected tokens; no request, no training
#
# Every setting, with its reason: permix_verl/config/permix_sft.yaml and supervised/.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/setup_env.sh"   # PYTHON: in .venv, made on first use
exec "$PYTHON" -m permix_verl.cli.main train permix_sft "$@"
