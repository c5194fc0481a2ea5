# Shared preparation of all recipes; sourced, not run.

# Print a field of the visible GPUs, one per line; nothing without a working driver. As utils/nvidia_smi.py.
gpu_query() {
  local values
  [[ ${CUDA_VISIBLE_DEVICES-unset} == "" ]] && return   # all hidden on purpose
  values=$(nvidia-smi --query-gpu="$1" --format=csv,noheader,nounits ${CUDA_VISIBLE_DEVICES:+--id="$CUDA_VISIBLE_DEVICES"} 2>/dev/null) || return 0
  echo "$values"
}

gpu_names() { gpu_query name; }

# Print the memory of the smallest visible GPU in MiB; nothing without one.
least_gpu_memory() { gpu_query memory.total | sort -n | head -n 1; }

# Set PROFILE from the hardware, unless it is set.
choose_profile() {
  GPU_NAMES=$(gpu_names)
  if [[ -z ${PROFILE:-} ]]; then
    if [[ -z $GPU_NAMES ]]; then
      PROFILE=cpu
    elif [[ $(grep -c A5000 <<<"$GPU_NAMES") == 8 ]]; then
      PROFILE=8xa5000
    else
      PROFILE=gpu
    fi
    echo "profile $PROFILE (PROFILE=... overrides; profiles: $(profiles))" >&2
  fi
  if [[ ! -f $REPO/recipes/profiles/$PROFILE.sh ]]; then
    echo "error: unknown profile '$PROFILE'; known: $(profiles)" >&2
    exit 2
  fi
}

profiles() {
  (cd "$REPO/recipes/profiles" && ls ./*.sh | sed 's|\./||; s|\.sh||' | paste -sd ' ')
}

source_profile() {
  GPUS_ASKED=${GPUS:-}
  GPUS=${GPUS:-$(grep -c . <<<"$GPU_NAMES" || true)}
  (( GPUS > 0 )) || GPUS=1   # a dry run for GPUs of another machine
  PLAN_ARGS=()
  source "$REPO/recipes/profiles/$PROFILE.sh"
}

# Print the largest micro-batch up to $1 that divides a rank's samples, as verl requires.
micro_batch() {
  local samples=$((PROBLEMS * ROLLOUTS / (GPUS * ${NNODES:-1}))) size=$1
  (( size > samples )) && size=$samples
  while (( size > 1 && samples % size )); do size=$((size - 1)); done
  echo $((size > 0 ? size : 1))
}

# Set PYTHON to a virtual environment with the right packages, created on first use.
ensure_python() {
  if [[ ${PERMIX_SKIP_SETUP:-0} == 1 ]]; then
    PYTHON=${PYTHON:-$(command -v python3)}
    if ! "$PYTHON" -c 'import importlib.metadata as m, importlib.util as u; m.distribution("permix-verl"); assert u.find_spec("verl") and u.find_spec("vllm")' 2>/dev/null; then
      echo "error: $PYTHON lacks permix_verl, verl or vllm; run $PYTHON -m pip install -e '$REPO[gpu]', or unset PERMIX_SKIP_SETUP" >&2
      exit 2
    fi
    return
  fi
  source "$REPO/recipes/setup_env.sh"
  if [[ ${QLORA:-0} == 1 ]] && ! "$PYTHON" -c 'import importlib.util as u; assert u.find_spec("bitsandbytes")' 2>/dev/null; then
    "$PYTHON" -m pip install --quiet --disable-pip-version-check --editable "$REPO[qlora]"
  fi
}

# Chat template arguments: without them Llama 3 puts today's date into the prompt, and Qwen3 generates its reasoning.
TEMPLATE_JSON='{"date_string": "26 Jul 2024", "enable_thinking": false}'
TEMPLATE_ARGS=(
  +data.apply_chat_template_kwargs.date_string="'26 Jul 2024'"
  +data.apply_chat_template_kwargs.enable_thinking=False
)

# QLORA=1: the base in NF4, replicated on every rank, with permix_verl's own engine. Sets QLORA_ARGS; $1: prefix of
# the model's keys.
choose_qlora() {
  case ${QLORA:=0} in
    0) QLORA_ARGS=() ;;
    1) QLORA_ARGS=("$1.external_lib=permix_verl.training.qlora.engine") ;;
    *) echo "error: QLORA=$QLORA is neither 0 nor 1" >&2; exit 2 ;;
  esac
}

# INIT_ADAPTER: a LoRA adapter to start from (docs/training.md), which fixes rank, alpha and target modules. Sets
# TARGET_MODULES and INIT_ARGS; $1: prefix of the model's keys, then the recipe's arguments. Call it after choose_qlora:
# verl's list of imports is shared.
choose_initial_adapter() {
  local argument path why="verl would load it with its own dropout"
  [[ $1 == model ]] || why+=", and the KL reference would be the base without it"
  for argument in "${@:2}"; do
    path=${argument#*=}
    argument=${argument#+}
    [[ ${argument#+} == "$1.lora_adapter_path="* ]] || continue
    [[ $path == null ]] && continue
    echo "error: $argument: $why; set INIT_ADAPTER=$path" >&2
    exit 2
  done
  TARGET_MODULES='[q_proj,k_proj,v_proj,o_proj,gate_proj,up_proj,down_proj]' INIT_ARGS=()
  [[ -n ${INIT_ADAPTER:-} ]] || return 0
  local settings rank alpha own
  [[ ! -d $INIT_ADAPTER ]] || INIT_ADAPTER=$(realpath "$INIT_ADAPTER")
  ensure_python
  settings=$("$PYTHON" -m permix_verl.runs.given_adapter "$INIT_ADAPTER") || exit 2
  read -r rank alpha TARGET_MODULES <<<"$settings"
  for own in LORA_RANK=$rank LORA_ALPHA=$alpha; do
    local knob=${own%%=*}
    if [[ ${!knob:-${own#*=}} != "${own#*=}" ]]; then
      echo "error: $knob=${!knob}, and INIT_ADAPTER=$INIT_ADAPTER has ${own#*=}; unset $knob to use the adapter's value" >&2
      exit 2
    fi
    declare -g "$own"
  done
  INIT_ARGS=(+permix.init_adapter="'$INIT_ADAPTER'")
  # In RL the adapter is also the KL reference; SFT has none.
  if [[ $1 == actor_rollout_ref.model ]]; then
    local libraries=permix_verl.training.hooks.frozen_reference
    [[ $QLORA == 0 ]] || libraries=permix_verl.training.qlora.engine,$libraries
    QLORA_ARGS=("$1.external_lib=[$libraries]")
  fi
}

# The lab (docs/lab.md): a base of two million weights and generated problems. It is the default without a GPU and
# without MODEL; LAB=1 selects it with any MODEL and DATA. Sets LAB, LAB_MODEL and, if it must be generated, LAB_DATA.
choose_lab() {
  LAB_MODEL='' LAB_DATA=''
  case ${LAB:=$([[ $PROFILE == cpu && -z ${MODEL:-} ]] && echo 1 || echo 0)} in
    0) ;;
    1)
      local name=lab
      LAB_MODEL=$REPO/permix_verl/lab/model
      [[ ${MODEL:-$LAB_MODEL} == "$LAB_MODEL" ]] || name=lab-$(basename "$MODEL")
      MODEL=${MODEL:-$LAB_MODEL}
      RUN_DIR=${RUN_DIR:-$REPO/runs/$ARM-$name-seed${SEED:-0}}
      LAB_PROBLEMS=${LAB_PROBLEMS:-584}   # 36 RL steps of 16, plus the validation problems
      [[ -n ${DATA:-} ]] || LAB_DATA=$(dirname "$RUN_DIR")/lab-easy-$LAB_PROBLEMS.jsonl
      DATA=${DATA:-$LAB_DATA}
      ;;
    *) echo "error: LAB=$LAB is neither 0 nor 1" >&2; exit 2 ;;
  esac
}

make_lab_data() {
  [[ -n $LAB_DATA ]] || return 0
  "$PYTHON" "$REPO/data_prep/lab_problems.py" --level easy --split train --count "$LAB_PROBLEMS" --out "$LAB_DATA"
}

# Make paths absolute, since Ray's workers have another working directory. MODEL_NAME is for headings.
settle_paths() {
  RUN_DIR=$(realpath -m "$RUN_DIR")
  [[ -d $MODEL ]] && MODEL=$(realpath "$MODEL")
  MODEL_NAME=$(basename "$MODEL")
  [[ $MODEL == "$LAB_MODEL" ]] && MODEL_NAME="the lab's base model"
  return 0
}

next_command() {
  if [[ $ARM == permix ]]; then
    echo "bash recipes/run_rlvr_grpo.sh   # with the same settings: the baseline, the same rows without personas"
  else
    echo "bash recipes/run_permix_grpo.sh   # with the same settings: the same rows with a persona each"
  fi
}

# DRY_RUN=plan: print memory and time, from the settings and the model's config.json. PLAN="--gpu A100-80GB" names the GPU.
plan_run() {
  local rows=7473   # GSM8K
  [[ $LAB == 1 ]] && rows=$LAB_PROBLEMS
  "$PYTHON" -m permix_verl.cli.main plan --trainer "$1" --model "$MODEL" --rows $((rows - VAL_PROBLEMS)) "${PLAN_ARGS[@]}" \
    ${PLAN:-} -- "${OVERRIDES[@]}"
}

# Check for later failures before anything is written; warnings do not stop the run. DOCTOR=0 skips the check.
ask_doctor() {
  local status=0
  [[ ${DOCTOR:-1} == 0 ]] && return
  "$PYTHON" -m permix_verl.cli.main doctor --quiet --trainer "$1" --model "$MODEL" --personas "$PERSONAS" \
    --dev-personas "${DEV_PERSONAS:-}" --run-dir "$RUN_DIR" -- "${OVERRIDES[@]}" || status=$?
  if (( status > 1 )); then
    echo "error: this run would fail, or train something else than intended; see above (DOCTOR=0 goes on all the same)" >&2
    exit 2
  fi
}
