#!/usr/bin/env bash
# SeqKD (the paper, section B.3): imitate the greedy completions of a larger model, without thinking.
#   PERSONA=0  the teacher sees the problem only (default)
#   PERSONA=1  the teacher, and then the student, see the row's sampled persona too
#
#   TEACHER=Qwen/Qwen3-32B bash recipes/run_seqkd.sh                            # vLLM on this node's GPUs
#   TEACHER=google/gemma-3-27b-it BASE_URL=http://host:8000/v1 PERSONA=1 bash recipes/run_seqkd.sh
#
# Every setting, with its reason: permix_verl/config/seqkd.yaml and supervised/.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/setup_env.sh"   # PYTHON: in .venv, made on first use
exec "$PYTHON" -m permix_verl.cli.main train seqkd "$@"
