#!/usr/bin/env bash
# PerMix-RLVR (the paper, section 4.1): GRPO on problems under a persona sampled per row.
#
#   bash recipes/run_permix_grpo.sh                                    # any machine
#   MODEL=Qwen/Qwen3-4B bash recipes/run_permix_grpo.sh                # knobs: permix train --help
#   INIT_ADAPTER=runs/NAME/adapter bash recipes/run_permix_grpo.sh     # RL from a LoRA adapter, such as SFT's
#   bash recipes/run_permix_grpo.sh actor_rollout_ref.rollout.n=16     # any key of verl
#   DRY_RUN=1 PROFILE=8xa5000 bash recipes/run_permix_grpo.sh          # print verl's resolved config, train nothing
#   DRY_RUN=overrides bash recipes/run_permix_grpo.sh                  # print only what this recipe sets
#
# Every setting, with its reason: permix_verl/config/permix_grpo.yaml and grpo/.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/setup_env.sh"   # PYTHON: in .venv, made on first use
exec "$PYTHON" -m permix_verl.cli.main train permix_grpo "$@"
