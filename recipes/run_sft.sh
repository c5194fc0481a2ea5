#!/usr/bin/env bash
# SFT, the paper's supervised baseline (its section B.2): GSM8K's own rationales and answers, without personas.
#
#   bash recipes/run_sft.sh                                    # any machine
#   MODEL=Qwen/Qwen3-4B bash recipes/run_sft.sh                # another model
#   bash recipes/run_sft.sh optim.clip_grad=0.1                # verl overrides come last
#   DRY_RUN=1 PROFILE=8xa5000 bash recipes/run_sft.sh          # print verl's resolved config, train nothing
#
# The knobs are at the top of sft.sh.
set -euo pipefail
ARM=sft
TITLE="SFT"
DEFAULT_MAX_LENGTH=1024
PREP_FLAGS=(--no-persona)
source "$(dirname "${BASH_SOURCE[0]}")/sft.sh"
