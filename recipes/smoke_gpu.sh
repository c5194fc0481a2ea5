#!/usr/bin/env bash
# Smoke test: five minutes on your machine, and one file that shows whether PerMix-RLVR runs there.
#
#   bash recipes/smoke_gpu.sh                          # all visible GPUs, the recipe's own model
#   MODEL=Qwen/Qwen3-4B bash recipes/smoke_gpu.sh      # another model, hub name or folder
#
# Three GRPO steps of run_permix_grpo.sh at the recipe's lengths and micro-batches, with fewer problems per step, then
# the adapter check. Writes runs/smoke-*/evidence.json: versions, peak memory of each GPU, seconds of each phase,
# rollout-actor correlation, the adapter's difference from the actor, and the settings read back from the live engines.
# Downloading the model takes additional time. Knobs and overrides as for run_permix_grpo.sh.
set -euo pipefail
REPO=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
export RUN_DIR=${RUN_DIR:-$REPO/runs/smoke-$(date +%Y%m%dT%H%M%S)}
export BATCH=${BATCH:-16} VAL_PROBLEMS=${VAL_PROBLEMS:-1} SAVE_FREQ=${SAVE_FREQ:-3}
export LR=${LR:-1e-3}   # far too high for real training: three steps must change the policy, or the adapter check proves nothing

if [[ ${DRY_RUN:-0} == 0 ]] && nvidia-smi >/dev/null 2>&1; then
  mkdir -p "$RUN_DIR"
  nvidia-smi --query-gpu=index,memory.used --format=csv,noheader,nounits --loop-ms=500 >"$RUN_DIR/nvidia_smi.csv" &
  trap 'kill %1 2>/dev/null' EXIT
fi

status=0
bash "$REPO/recipes/run_permix_grpo.sh" trainer.total_training_steps=3 trainer.val_before_train=False \
  trainer.test_freq=-1 "$@" || status=$?
[[ ${DRY_RUN:-0} == 0 ]] || exit "$status"

source "$REPO/recipes/common.sh"
ensure_python
"$PYTHON" -m permix_verl.training.observability.smoke_report "$RUN_DIR" --memory "$RUN_DIR/nvidia_smi.csv" --out "$RUN_DIR/evidence.json" ||
  status=$?
[[ -f $RUN_DIR/evidence.json ]] && echo "send back $RUN_DIR/evidence.json"
exit "$status"
