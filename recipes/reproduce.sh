#!/usr/bin/env bash
# Reproduce a table of the paper (arXiv 2604.08986): train and evaluate every method, and print it beside the paper's rows.
#
#   DRY_RUN=1 bash recipes/reproduce.sh 2          # commands, GPU hours, tokens and judge calls; runs nothing
#   REWRITER=gpt-5-mini BASE_URL=https://api.openai.com/v1 bash recipes/reproduce.sh 2
#   bash recipes/reproduce.sh 11                   # AIME 2024
#   LAB=1 bash recipes/reproduce.sh 2              # in the lab (docs/lab.md), on a laptop: about 35 minutes
#
# Tables 2 (teacher-free), 3 (distillation), 4 and 12 (code), 10 (PersonaGym), 11 (AIME 2024). The same command resumes;
# methods that tables share are trained once. Knobs of the recipes (sft.sh, grpo.sh) apply to all methods.
set -euo pipefail
REPO=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
source "$REPO/recipes/common.sh"

# --- knobs ------------------------------------------------------------------------------
MODEL=${MODEL:-}                       # default: the paper's; in the lab, the lab's base
SEED=${SEED:-0}
RUNS=${RUNS:-}                         # completions per prompt; default: the paper's 5, in the lab 2
LIMIT=${LIMIT:-}                       # problems per task; default: all, in the lab 200
TASKS=${TASKS:-}                       # default: the table's
OUT=${OUT:-}                           # default: results/paper, in the lab results/lab-tables
RUNS_DIR=${RUNS_DIR:-$REPO/runs}       # folder of the training runs
REWRITER=${REWRITER:-}                 # writer of styled targets
BASE_URL=${BASE_URL:-}                 # the rewriter's endpoint
TEACHER_BASE_URL=${TEACHER_BASE_URL:-} # the teachers' endpoint; without one vLLM loads them here
JUDGE=${JUDGE:-} JUDGE_2=${JUDGE_2:-}  # judges of persona fidelity: MODEL, MODEL@URL or JSON, as for eval/personagym.py
QUESTIONS=${QUESTIONS:-}               # questions of persona fidelity; default: the packaged set
EVAL_FLAGS=${EVAL_FLAGS:-}             # more flags of eval/run.py; default: settings that fit an 8B model on the visible GPUs
PERSONAGYM_FLAGS=${PERSONAGYM_FLAGS:-} # more flags of eval/personagym.py; default: the same
TEACHER_QWEN=${TEACHER_QWEN:-} TEACHER_LLAMA=${TEACHER_LLAMA:-} TEACHER_GEMMA=${TEACHER_GEMMA:-}   # default: the paper's
GPU_TFLOPS=${GPU_TFLOPS:-111}          # per GPU, for the estimate; default: an A5000 in bf16
# ----------------------------------------------------------------------------------------

if (( $# != 1 )); then
  echo "error: give one table of the paper: 2, 3, 4, 10, 11 or 12" >&2
  exit 2
fi
for knob in RUN_DIR ARM TARGET PERSONA TEACHER INIT_ADAPTER; do
  [[ -z ${!knob:-} ]] || { echo "error: $knob is set here, for every method; unset it" >&2; exit 2; }
done
FLAGS=(--seed "$SEED" --runs-dir "$RUNS_DIR" --tflops "$GPU_TFLOPS")
if [[ ${LAB:-0} == 1 ]]; then
  if [[ $1 == 4 || $1 == 10 || $1 == 12 ]]; then
    echo "error: table $1 needs other problems than the lab's, whose answers are numbers; choose 2, 3 or 11" >&2
    exit 2
  fi
  export LAB
  MODEL=${MODEL:-$REPO/permix_verl/lab/model} REWRITER=${REWRITER:-lab} RUNS=${RUNS:-2} LIMIT=${LIMIT:-200}
  TASKS=${TASKS:-lab_easy,lab_hard} OUT=${OUT:-$REPO/results/lab-tables}
  for teacher in TEACHER_QWEN TEACHER_LLAMA TEACHER_GEMMA; do
    [[ -n ${!teacher} ]] || declare "$teacher=$REPO/permix_verl/lab/teacher"
  done
  EVAL_FLAGS="--temperature 1 --top-p 1 $EVAL_FLAGS"
elif [[ -z $EVAL_FLAGS || -z $PERSONAGYM_FLAGS ]]; then
  gpus=$(gpu_names | grep -c . || true)
  if (( gpus > 0 )); then   # 16 GB of weights in bf16: two GPUs if one has less than 40 GB
    least=$(least_gpu_memory)
    parallel=$(( gpus > 1 && ${least:-80000} < 40000 ? 2 : 1 ))
    fitting="--tensor-parallel-size $parallel --data-parallel-size $((gpus / parallel)) --engine-args {\"max_model_len\":8192}"
    EVAL_FLAGS=${EVAL_FLAGS:-$fitting} PERSONAGYM_FLAGS=${PERSONAGYM_FLAGS:-$fitting}
  fi
fi
[[ -z $EVAL_FLAGS ]] || FLAGS+=(--eval-flags "$EVAL_FLAGS")
[[ -z $PERSONAGYM_FLAGS ]] || FLAGS+=(--personagym-flags "$PERSONAGYM_FLAGS")
[[ -z $JUDGE ]] || FLAGS+=(--judge "$JUDGE")
[[ -z $JUDGE_2 ]] || FLAGS+=(--judge "$JUDGE_2")
[[ -z $QUESTIONS ]] || FLAGS+=(--questions "$QUESTIONS")
[[ -z $BASE_URL ]] || FLAGS+=(--rewriter-url "$BASE_URL")
[[ -z $TEACHER_BASE_URL ]] || FLAGS+=(--teacher-url "$TEACHER_BASE_URL")
[[ -z $MODEL ]] || FLAGS+=(--model "$MODEL")
[[ -z $OUT ]] || FLAGS+=(--out "$OUT")
[[ -z $RUNS ]] || FLAGS+=(--runs "$RUNS")
[[ -z $LIMIT ]] || FLAGS+=(--limit "$LIMIT")
[[ -z $TASKS ]] || FLAGS+=(--tasks "$TASKS")
[[ -z $REWRITER ]] || FLAGS+=(--rewriter "$REWRITER")
[[ -z $TEACHER_QWEN ]] || FLAGS+=(--teacher-qwen "$TEACHER_QWEN")
[[ -z $TEACHER_LLAMA ]] || FLAGS+=(--teacher-llama "$TEACHER_LLAMA")
[[ -z $TEACHER_GEMMA ]] || FLAGS+=(--teacher-gemma "$TEACHER_GEMMA")
[[ ${DRY_RUN:-0} == 0 ]] || FLAGS+=(--dry-run)
unset MODEL SEED DRY_RUN BASE_URL   # each step gets its own
ensure_python    # PYTHON: in .venv, created on first use; PERMIX_SKIP_SETUP=1 takes the one on PATH
exec "$PYTHON" "$REPO/eval/reproduce.py" "$1" "${FLAGS[@]}"
