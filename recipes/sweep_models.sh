#!/usr/bin/env bash
# The paper's Figure 2: the effect of personas on 12 released models on MATH500 and AIME 2024 (its Tables 8 and 9).
#
#   bash recipes/sweep_models.sh                                       # all of them; the same command resumes
#   DRY_RUN=1 GPUS=8 GPU_GIB=24 bash recipes/sweep_models.sh           # print commands, samples and tokens, run nothing
#   MODELS="Qwen/Qwen3-4B runs/mine/merged" LIMIT=50 bash recipes/sweep_models.sh
#   MODELS=Qwen/Qwen3-4B bash recipes/sweep_models.sh --adapter PATH   # more arguments go to every eval/run.py
#
# One folder per model under OUT, and the report on all of them in OUT/report. A model that fails does not stop the
# others: it is named at the end, and the exit status is 1. Llama and Gemma require accepted licences at the hub.
set -euo pipefail
REPO=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
source "$REPO/recipes/common.sh"

# --- knobs ------------------------------------------------------------------------------
PAPER_MODELS="Qwen/Qwen3-0.6B Qwen/Qwen3-1.7B Qwen/Qwen3-4B Qwen/Qwen3-8B Qwen/Qwen3-32B
  meta-llama/Llama-3.2-1B-Instruct meta-llama/Llama-3.1-8B-Instruct meta-llama/Llama-3.3-70B-Instruct
  google/gemma-3-1b-it google/gemma-3-4b-it google/gemma-3-12b-it google/gemma-3-27b-it"
MODELS=${MODELS:-$PAPER_MODELS}        # hub names or folders, separated by spaces
TASKS=${TASKS:-math500,aime24}         # of gsm8k, math500, aime24; separated by commas
RUNS=${RUNS:-5}                        # samples per problem and persona; appendix C.1
PERSONAS=${PERSONAS:-eval}             # packaged pool or a .jsonl of your own
OUT=${OUT:-$REPO/results/sweep}        # with one folder per model
LIMIT=${LIMIT:-}                       # problems per task; default: all
MAX_TOKENS=${MAX_TOKENS:-}             # per completion; default: the task's own
GPUS=${GPUS:-}                         # number of visible GPUs to use; default: all
GPU_GIB=${GPU_GIB:-}                   # memory of one GPU; default: read from the smallest, 80 without a GPU
TENSOR_PARALLEL=${TENSOR_PARALLEL:-}   # for every model; default: the fewest GPUs that fit
# ----------------------------------------------------------------------------------------

# Sizes of the public sets, and eval/run.py's defaults.
problems_of() { case $1 in gsm8k) echo 1319 ;; math500) echo 500 ;; aime24) echo 30 ;; *) return 1 ;; esac; }
max_tokens_of() { case $1 in gsm8k) echo 1024 ;; math500) echo 2048 ;; aime24) echo 4096 ;; esac; }
# Estimates: the mean problem at three to four characters per token, plus 60 for persona, instruction and template.
prompt_tokens_of() { case $1 in gsm8k) echo 120 ;; math500) echo 125 ;; aime24) echo 160 ;; esac; }

# Print the billions of parameters in a model's name, or nothing.
billions() {
  basename "$1" | grep -oiP '(?<![0-9a-z.])[0-9]+(\.[0-9]+)?(?=b(-|_|$))' | head -n 1 || true
}

# Print the smallest power of two of GPUs (it must divide the attention heads) on which the bf16 weights, 2 bytes per
# parameter, take at most 7/10 of the memory: the rest is for vLLM's cache and workspace.
tensor_parallel() {
  awk -v size="$(billions "$1")" -v gib="$GPU_GIB" -v gpus="$GPUS" 'BEGIN {
    n = 1
    while (2e9 * size / 2^30 / n > 0.7 * gib && 2 * n <= gpus) n *= 2
    if (2e9 * size / 2^30 / n > 0.7 * gib) print "note: " size " B parameters are tight on " n " x " gib " GiB" >"/dev/stderr"
    print n
  }'
}

# Print the samples and tokens of one model, and add them to the totals.
print_size() {
  local task problems samples tokens
  for task in ${TASKS//,/ }; do
    problems=$(problems_of "$task")
    [[ -n $LIMIT ]] && (( LIMIT < problems )) && problems=$LIMIT
    samples=$((problems * ARMS * RUNS)) tokens=${MAX_TOKENS:-$(max_tokens_of "$task")}
    echo "  $task: $problems problems x $ARMS arms x $RUNS runs = $samples samples;" \
      "completions at most $((samples * tokens)) tokens, prompts about $((samples * $(prompt_tokens_of "$task")))"
    ALL_SAMPLES=$((ALL_SAMPLES + samples)) ALL_TOKENS=$((ALL_TOKENS + samples * tokens))
  done
}

for argument in "$@"; do   # they would override the knobs, and one --out for all would mix the models
  case ${argument%%=*} in --model | --tasks | --personas | --runs | --out | --limit | --max-tokens | --*-parallel-size)
    echo "error: $argument is a knob here; set it in front, in upper case (see the top of ${BASH_SOURCE[0]})" >&2; exit 2 ;;
  esac
done
for task in ${TASKS//,/ }; do
  problems_of "$task" >/dev/null || { echo "error: unknown task '$task' in TASKS; known: gsm8k math500 aime24" >&2; exit 2; }
done
POOL=$PERSONAS
[[ -f $REPO/permix_verl/personas/pools/$PERSONAS.jsonl ]] && POOL=$REPO/permix_verl/personas/pools/$PERSONAS.jsonl
[[ -f $POOL ]] || { echo "error: no personas '$PERSONAS'; give eval, train or a .jsonl file in PERSONAS" >&2; exit 2; }
ARMS=$(($(grep -c '[^[:space:]]' "$POOL") + 1))   # plus the control without a persona
GPU_NAMES=$(gpu_names)
GPUS=${GPUS:-$(grep -c . <<<"$GPU_NAMES" || true)}
(( GPUS > 0 )) || GPUS=1
if [[ -z $GPU_GIB && -n $GPU_NAMES ]]; then
  GPU_GIB=$(least_gpu_memory | awk '{ print $1 / 1024 }')
fi
GPU_GIB=${GPU_GIB:-80}

if [[ ${DRY_RUN:-0} == 0 ]]; then
  ensure_python   # PYTHON: in .venv, created on first use; PERMIX_SKIP_SETUP=1 takes the one on PATH
elif [[ ${PERMIX_SKIP_SETUP:-0} == 1 ]]; then
  PYTHON=${PYTHON:-$(command -v python3)}
else
  PYTHON=${VENV:-$REPO/.venv}/bin/python
fi

DONE=() FAILED=() ALL_SAMPLES=0 ALL_TOKENS=0
for model in $MODELS; do
  folder=$OUT/${model//\//__} size=$(billions "$model") parallel=${TENSOR_PARALLEL:-$(tensor_parallel "$model")}
  [[ -n $size || -n $TENSOR_PARALLEL ]] || echo "note: '$model' does not say its size: one GPU per copy; or set TENSOR_PARALLEL" >&2
  call=("$PYTHON" "$REPO/eval/run.py" --model "$model" --tasks "$TASKS" --personas "$PERSONAS" --runs "$RUNS" --out "$folder"
    --tensor-parallel-size "$parallel" --data-parallel-size "$((GPUS / parallel > 0 ? GPUS / parallel : 1))"
    ${MAX_TOKENS:+--max-tokens "$MAX_TOKENS"} ${LIMIT:+--limit "$LIMIT"} "$@")
  echo "$model${size:+ (${size} B)}:$(printf ' %q' "${call[@]}")"
  if [[ ${DRY_RUN:-0} != 0 ]]; then print_size; continue; fi
  status=0
  "${call[@]}" || status=$?
  (( status != 130 )) || exit 130   # interrupted: not this model's failure
  if (( status == 0 )); then DONE+=("$folder"); else FAILED+=("$model"); fi
done
if [[ ${DRY_RUN:-0} != 0 ]]; then
  echo "in all: $ALL_SAMPLES samples, at most $ALL_TOKENS completion tokens; then eval/report.py into $OUT/report"
  exit
fi

status=0
if (( ${#DONE[@]} )); then "$PYTHON" "$REPO/eval/report.py" "${DONE[@]}" --out "$OUT/report" || status=1; fi
if (( ${#FAILED[@]} )); then
  echo "error: failed: ${FAILED[*]}; their messages are above; the same command goes on with them" >&2
  status=1
fi
exit "$status"
