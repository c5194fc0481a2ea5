#!/usr/bin/env bash
# RLVR, the paper's main baseline: the same GRPO on the same rows, without personas.
#
#   bash recipes/run_rlvr_grpo.sh            # same knobs as run_permix_grpo.sh
#
# Every setting, with its reason: permix_verl/config/rlvr_grpo.yaml and grpo/.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/setup_env.sh"   # PYTHON: in .venv, made on first use
exec "$PYTHON" -m permix_verl.cli.main train rlvr_grpo "$@"
