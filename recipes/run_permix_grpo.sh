#!/usr/bin/env bash
# PerMix-RLVR (the paper, section 4.1): GRPO on problems under a persona sampled per row.
#
#   bash recipes/run_permix_grpo.sh                                    # any machine
#   MODEL=Qwen/Qwen3-4B bash recipes/run_permix_grpo.sh                # another model
#   INIT_ADAPTER=runs/NAME/adapter bash recipes/run_permix_grpo.sh     # RL from a LoRA adapter, such as SFT's
#   bash recipes/run_permix_grpo.sh actor_rollout_ref.rollout.n=16     # verl overrides come last
#   DRY_RUN=1 PROFILE=8xa5000 bash recipes/run_permix_grpo.sh          # print verl's resolved config, train nothing
#   DRY_RUN=overrides bash recipes/run_permix_grpo.sh                  # print only what this recipe overrides
#
# The knobs are at the top of grpo.sh.
set -euo pipefail
ARM=permix
TITLE="PerMix-RLVR"
PREP_FLAGS=()
source "$(dirname "${BASH_SOURCE[0]}")/grpo.sh"
