#!/usr/bin/env bash
# SeqKD (the paper, section B.3): imitate the greedy completions of a larger model, without thinking.
#   PERSONA=0  the teacher sees the problem only (default)
#   PERSONA=1  the teacher, and then the student, see the row's sampled persona too
#
#   TEACHER=Qwen/Qwen3-32B bash recipes/run_seqkd.sh                            # vLLM on this node's GPUs
#   TEACHER=google/gemma-3-27b-it BASE_URL=http://host:8000/v1 PERSONA=1 bash recipes/run_seqkd.sh
#
# The paper's teachers: Qwen/Qwen3-32B, meta-llama/Llama-3.1-70B-Instruct, google/gemma-3-27b-it. All targets
# are kept, and the fraction of right ones is reported; ONLY_RIGHT=1 drops the wrong ones. Knobs: at the top of sft.sh.
set -euo pipefail
PERSONA=${PERSONA:-0}
DEFAULT_MAX_LENGTH=1024
ARM=seqkd${TEACHER:+-$(basename "$TEACHER")}
TITLE="SeqKD"
PREP_FLAGS=(--target teacher)
case $PERSONA in
  0) PREP_FLAGS+=(--no-persona) ;;
  1) ARM=$ARM-persona TITLE="SeqKD, persona-mixed" ;;
  *) echo "error: PERSONA=$PERSONA is neither 0 nor 1" >&2; exit 2 ;;
esac
WRITER_KNOB=TEACHER
source "$(dirname "${BASH_SOURCE[0]}")/sft.sh"
