#!/usr/bin/env bash
# The paper's Tables 2 and 3 in miniature (docs/lab.md): the lab's base model and the methods that train it.
#
#   bash recipes/run_lab.sh                 # RLVR and PerMix-RLVR, one seed
#   SEEDS=3 bash recipes/run_lab.sh         # seeds 0, 1 and 2: intervals over seeds, too
#   ARMS=all bash recipes/run_lab.sh        # with SFT, PerMix-SFT and SeqKD (docs/baselines.md)
#   KL=0.5 OUT=results/kl RUNS_DIR=runs/kl bash recipes/run_lab.sh   # grpo.sh's knobs, with separate folders
#
# Trains every method by its recipe, evaluates base and methods under the 16 held-out personas and none, on problems like
# the training problems and on harder ones, and writes OUT/report. The same command resumes.
set -euo pipefail
REPO=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
source "$REPO/recipes/common.sh"

# --- knobs ------------------------------------------------------------------------------
ARMS=${ARMS:-rlvr permix}              # of rlvr permix sft permix-sft permix-sft-styled seqkd seqkd-persona; or all
SEEDS=${SEEDS:-1}                      # training runs per method: seeds 0, 1, ...
PROBLEMS=${PROBLEMS:-200}              # test problems per task, 20 to 400
SAMPLES=${SAMPLES:-2}                  # completions per problem and persona; the theory needs two of the base
OUT=${OUT:-$REPO/results/lab}          # one results folder per model, and report/
RUNS_DIR=${RUNS_DIR:-$REPO/runs}       # folder of the training runs
# ----------------------------------------------------------------------------------------

ALL="rlvr permix sft permix-sft permix-sft-styled seqkd seqkd-persona"
[[ $ARMS != all ]] || ARMS=$ALL
declare -A NAMES=(
  [rlvr]="RLVR" [permix]="PerMix-RLVR" [sft]="SFT" [permix-sft]="PerMix-SFT" [permix-sft-styled]="PerMix-SFT (styled)"
  [seqkd]="SeqKD" [seqkd-persona]="SeqKD (persona)"
)
for arm in $ARMS; do
  [[ -n ${NAMES[$arm]:-} ]] || { echo "error: unknown arm '$arm'; known: $ALL" >&2; exit 2; }
done
for knob in SEEDS PROBLEMS SAMPLES; do
  [[ ${!knob} =~ ^[1-9][0-9]*$ ]] || { echo "error: $knob=${!knob} is not a number of 1 or more" >&2; exit 2; }
done
if (( PROBLEMS < 20 || PROBLEMS > 400 )); then
  echo "error: PROBLEMS=$PROBLEMS: the report needs at least 20, and there are 400" >&2
  exit 2
fi
if [[ $OUT == *,* ]]; then
  echo "error: OUT=$OUT has a comma, which separates folders for eval/lab.py; give another" >&2
  exit 2
fi
if [[ ${DRY_RUN:-0} != 0 ]]; then
  echo "error: DRY_RUN=$DRY_RUN is for one recipe: LAB=1 DRY_RUN=$DRY_RUN bash recipes/run_permix_grpo.sh" >&2
  exit 2
fi
for knob in SEED RUN_DIR; do
  [[ -z ${!knob:-} ]] || { echo "error: $knob is set here: seeds are 0 to SEEDS-1, and runs are in RUNS_DIR; unset it" >&2; exit 2; }
done
if [[ -n ${INIT_ADAPTER:-} ]]; then
  echo "error: INIT_ADAPTER is for one recipe; here every method starts from the base; unset it" >&2
  exit 2
fi
ensure_python    # PYTHON: in .venv, created on first use; PERMIX_SKIP_SETUP=1 takes the one on PATH
export PERMIX_SKIP_SETUP=1 PYTHON LAB=1
BASE=${MODEL:-$REPO/permix_verl/lab/model}

evaluate() {   # NAME, and more arguments of eval/run.py
  local name=$1
  shift
  "$PYTHON" "$REPO/eval/run.py" --model "$BASE" --tasks lab_easy,lab_hard --limit "$PROBLEMS" --runs "$SAMPLES" \
    --temperature 1 --top-p 1 --out "$OUT/$name" "$@"
}

train() {   # ARM, SEED, and verl overrides for the RL methods
  local arm=$1 seed=$2
  shift 2
  local settings=(SEED="$seed" RUN_DIR="$RUNS_DIR/$arm-lab-seed$seed")
  case $arm in
    rlvr | permix) env "${settings[@]}" bash "$REPO/recipes/run_${arm}_grpo.sh" "$@" ;;
    sft) env "${settings[@]}" bash "$REPO/recipes/run_sft.sh" ;;
    permix-sft) env "${settings[@]}" TARGET=gt bash "$REPO/recipes/run_permix_sft.sh" ;;
    permix-sft-styled) env "${settings[@]}" TARGET=styled bash "$REPO/recipes/run_permix_sft.sh" ;;
    seqkd) env "${settings[@]}" PERSONA=0 bash "$REPO/recipes/run_seqkd.sh" ;;
    seqkd-persona) env "${settings[@]}" PERSONA=1 bash "$REPO/recipes/run_seqkd.sh" ;;
  esac
}

say() { printf '\n== %s\n' "$*"; }

say "base model: evaluation"
evaluate base
declare -A FOLDERS=()
for ((seed = 0; seed < SEEDS; seed++)); do
  for arm in $ARMS; do
    say "$arm, seed $seed of $SEEDS: training"
    train "$arm" "$seed" "$@"
    say "$arm, seed $seed of $SEEDS: evaluation"
    evaluate "$arm-seed$seed" --adapter "$RUNS_DIR/$arm-lab-seed$seed/adapter"
    FOLDERS[$arm]+=${FOLDERS[$arm]:+,}$OUT/$arm-seed$seed
  done
done
say "report"
REPORT=(--base "$OUT/base")
for arm in $ARMS; do
  REPORT+=(--arm "${NAMES[$arm]}=${FOLDERS[$arm]}")
done
"$PYTHON" "$REPO/eval/lab.py" "${REPORT[@]}" --out "$OUT/report"
