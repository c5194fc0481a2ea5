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
# The personas equal those of run_permix_grpo.sh with the same SEED. The knobs are at the top of sft.sh.
set -euo pipefail
TARGET=${TARGET:-gt}
ARM=permix-sft-$TARGET
DEFAULT_MAX_LENGTH=2048
PREP_FLAGS=(--target "$TARGET")
case $TARGET in
  gt) TITLE="PerMix-SFT (ground truth)" ;;
  styled) TITLE="PerMix-SFT (styled)" WRITER_KNOB=REWRITER ;;
  *) echo "error: unknown TARGET '$TARGET'; known: gt styled" >&2; exit 2 ;;
esac
source "$(dirname "${BASH_SOURCE[0]}")/sft.sh"
