#!/usr/bin/env bash
# SFT, the paper's supervised baseline (its section B.2): GSM8K's own rationales and answers, without personas.
#
#   bash recipes/run_sft.sh                                    # any machine
#   MODEL=Qwen/Qwen3-4B bash recipes/run_sft.sh                # knobs: permix train --help
#   bash recipes/run_sft.sh optim.clip_grad=0.1                # any key of verl
#   DRY_RUN=1 PROFILE=8xa5000 bash recipes/run_sft.sh          # print verl's resolved config, train nothing
#
# Every setting, with its reason: permix_verl/config/sft.yaml and supervised/.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/setup_env.sh"   # PYTHON: in .venv, made on first use
exec "$PYTHON" -m permix_verl.cli.main train sft "$@"
