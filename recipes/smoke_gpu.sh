#!/usr/bin/env bash
# Smoke test: five minutes on your machine, and one file that shows whether PerMix-RLVR runs there.
#
#   bash recipes/smoke_gpu.sh                          # all visible GPUs, the recipe's own model
#   MODEL=Qwen/Qwen3-4B bash recipes/smoke_gpu.sh      # another model, hub name or folder
#
# Three GRPO steps of run_permix_grpo.sh, then the adapter check. Writes runs/smoke-*/evidence.json; what is in it:
# permix smoke --help. Knobs and overrides as for run_permix_grpo.sh.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/setup_env.sh"   # PYTHON: in .venv, made on first use
exec "$PYTHON" -m permix_verl.cli.main smoke "$@"
