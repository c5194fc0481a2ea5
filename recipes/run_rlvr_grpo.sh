#!/usr/bin/env bash
# RLVR, the paper's main baseline: the same GRPO on the same rows, without personas.
#
#   bash recipes/run_rlvr_grpo.sh            # same knobs as run_permix_grpo.sh
set -euo pipefail
ARM=rlvr
TITLE="RLVR"
PREP_FLAGS=(--no-persona)
source "$(dirname "${BASH_SOURCE[0]}")/grpo.sh"
