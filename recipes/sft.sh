# The supervised recipe that run_sft.sh, run_permix_sft.sh and run_seqkd.sh share; sourced, not run.
# Tables 5 and 6 of the paper (arXiv 2604.08986), as verl's keys. Machine-specific settings are in profiles/.

REPO=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
source "$REPO/recipes/common.sh"
choose_profile   # sets PROFILE to 8xa5000, gpu or cpu by the hardware, unless set
choose_lab
choose_qlora model
choose_initial_adapter model "$@"
LAB_VAL_DATA=''
if [[ $LAB == 1 ]]; then
  BATCH=${BATCH:-16} LR=${LR:-3e-3} LORA_RANK=${LORA_RANK:-8} PROMPT_LENGTH=${PROMPT_LENGTH:-112} MAX_LENGTH=${MAX_LENGTH:-192}
  VAL_PROBLEMS=${VAL_PROBLEMS:-8}   # left out, so that the rows equal those of RL; the held-out loss uses LAB_VAL_DATA
  TEST_FREQ=${TEST_FREQ:-18} SAVE_FREQ=${SAVE_FREQ:-36}
  ENGINE_TENSOR_PARALLEL=${ENGINE_TENSOR_PARALLEL:-1}
  REWRITER=${REWRITER:-lab} TEACHER=${TEACHER:-$REPO/permix_verl/lab/teacher} MAX_TOKENS=${MAX_TOKENS:-48}
  [[ -n ${VAL_DATA:-} || -z $LAB_DATA ]] || LAB_VAL_DATA=$(dirname "$RUN_DIR")/lab-easy-held-out.jsonl
  VAL_DATA=${VAL_DATA:-$LAB_VAL_DATA}
fi

# --- knobs ------------------------------------------------------------------------------
MODEL=${MODEL:-meta-llama/Llama-3.1-8B-Instruct}  # hub name or folder of the model to train
DATA=${DATA:-openai/gsm8k}                        # hub name, folder, .jsonl or .parquet
PERSONAS=${PERSONAS:-train}                       # packaged pool or a .jsonl of your own
SEED=${SEED:-0}                                   # of personas, data order, initial adapter and dropout
EPOCHS=${EPOCHS:-3}                               # Tables 5, 6; a row keeps its persona, the order changes
BATCH=${BATCH:-128}                               # Tables 5, 6
MAX_LENGTH=${MAX_LENGTH:-$DEFAULT_MAX_LENGTH}     # tokens of prompt and target; Tables 5, 6
PROMPT_LENGTH=${PROMPT_LENGTH:-256}               # tokens; Table 7: selects the same rows as RL
LR=${LR:-1e-4}                                    # missing in our copy of Tables 5 and 6
OPTIMIZER=${OPTIMIZER:-adamw_fused}               # or paged_adamw_8bit (Tables 5, 6; see docs/baselines.md)
INIT_ADAPTER=${INIT_ADAPTER:-}                    # a LoRA adapter of MODEL to start from (docs/training.md)
LORA_RANK=${LORA_RANK:-32}                        # missing in our copy; INIT_ADAPTER fixes rank and alpha
LORA_ALPHA=${LORA_ALPHA:-$((2 * LORA_RANK))}      # missing in our copy
LORA_DROPOUT=${LORA_DROPOUT:-0.05}                # appendix B.1; above 0 results depend on the micro-batch size (docs/training.md)
QLORA=${QLORA:-0}                                 # 1: the base in NF4, as in appendix B.1 (docs/training.md)
ANSWER_FORMAT=${ANSWER_FORMAT:-boxed}             # of the data set's solutions; original: with annotations and ####
VAL_PROBLEMS=${VAL_PROBLEMS:-32}                  # held out of DATA
VAL_DATA=${VAL_DATA:-}                            # one file for the held-out loss, in place of VAL_PROBLEMS
TEST_FREQ=${TEST_FREQ:-20}                        # steps between held-out losses
SAVE_FREQ=${SAVE_FREQ:-20}                        # steps between checkpoints
# Rewriter (REWRITER) or teacher (TEACHER): hub name, folder, or model name at an endpoint. Its texts are stored.
BASE_URL=${BASE_URL:-}                            # an OpenAI-compatible endpoint, its key in OPENAI_API_KEY; else vLLM here
STORE=${STORE:-}                                  # folder of its texts; default: targets/ and its name
MAX_TOKENS=${MAX_TOKENS:-1024}                    # per target
ATTEMPTS=${ATTEMPTS:-4}                           # of the rewriter, until the final answer is right
ONLY_RIGHT=${ONLY_RIGHT:-0}                       # 1: leave out a teacher's wrong answers
PRICE=${PRICE:-}                                  # IN,OUT: dollars per million tokens, to print the cost
TARGET_ARGS=${TARGET_ARGS:-}                      # more arguments for data_prep/gsm8k_sft.py, such as --keep-going
RUN_DIR=${RUN_DIR:-$REPO/runs/$ARM-$(basename "$MODEL")-seed$SEED}
ENGINE_TENSOR_PARALLEL=${ENGINE_TENSOR_PARALLEL:-} # of its vLLM engine; default: all GPUs
# ----------------------------------------------------------------------------------------

settle_paths
WRITER=''
if [[ -n ${WRITER_KNOB:-} ]]; then
  WRITER=${!WRITER_KNOB:-}
  if [[ -z $WRITER ]]; then
    echo "error: $WRITER_KNOB is not set, so no model writes the targets; set it to a hub name or folder (vLLM on this machine)," \
      "or with BASE_URL=http://.../v1 to a model name of that endpoint" >&2
    exit 2
  fi
fi

if (( ${NNODES:-1} > 1 )); then
  echo "error: NNODES=$NNODES: the supervised recipes run on one node; unset it (its 8B adapter trains within hours there)" >&2
  exit 2
fi
PROBLEMS=$BATCH ROLLOUTS=1 # read by micro_batch
source_profile             # sets SFT_ARGS and CHECK_ARGS
if (( BATCH % GPUS )); then
  echo "error: BATCH=$BATCH does not divide over $GPUS GPUs; change one" >&2
  exit 2
fi
case $OPTIMIZER in
  adamw_fused) OPTIMIZER_ARGS=(+optim.override_optimizer_config.fused=True) ;;
  paged_adamw_8bit)
    OPTIMIZER_ARGS=(optim.optimizer_impl=bitsandbytes.optim optim.optimizer=PagedAdamW8bit)
    echo "note: bitsandbytes #1633: its paged optimizers fail under FSDP2 in the known versions; adamw_fused works" >&2
    ;;
  *) echo "error: unknown OPTIMIZER '$OPTIMIZER'; known: adamw_fused paged_adamw_8bit" >&2; exit 2 ;;
esac

# Paths have inner quotes, which protect their special characters from Hydra.
OVERRIDES=(
  # Data: the loss covers the response and its end-of-turn token; too long a row is refused, never truncated.
  data.train_files="'$RUN_DIR/data/train.parquet'"
  data.val_files="'$RUN_DIR/data/val.parquet'"
  data.custom_cls.path=pkg://permix_verl.sft_dataset
  data.custom_cls.name=SupervisedDataset
  data.train_batch_size="$BATCH"
  data.max_length="$MAX_LENGTH"
  +data.seed="$SEED"
  # The dataset presents all epochs as one, in its own order, so that any resume continues correctly.
  +data.epochs="$EPOCHS"
  trainer.total_epochs=1
  data.num_workers=0          # rows are tokenized once, at the start
  data.use_dynamic_bsz=False
  "${TEMPLATE_ARGS[@]}"

  # Tables 5 and 6; they lack clipping: 1.0 is the default of Hugging Face's trainer.
  optim.lr="$LR"
  optim.lr_scheduler_type=cosine
  optim.lr_warmup_steps_ratio=0.05
  optim.weight_decay=0.0
  optim.clip_grad=1.0
  "${OPTIMIZER_ARGS[@]}"

  # The model: LoRA on the seven linear layers (appendix B.1), on the engine of the GRPO recipes.
  model.path="'$MODEL'"
  model.lora_rank="$LORA_RANK"
  model.lora_alpha="$LORA_ALPHA"
  model.target_modules="$TARGET_MODULES"
  model.lora_adapter_path="'$RUN_DIR/initial_adapter'"
  +permix.lora_dropout="$LORA_DROPOUT"
  model.use_remove_padding=False
  +model.override_config.attn_implementation=sdpa
  engine.strategy=fsdp2
  engine.model_dtype=fp32
  +checkpoint.save_lora_only=True

  trainer.project_name=permix_verl
  trainer.experiment_name="'$(basename "$RUN_DIR")'"
  trainer.logger='[console,file]'
  trainer.test_freq="$TEST_FREQ"
  trainer.save_freq="$SAVE_FREQ"
  trainer.max_ckpt_to_keep=2
  trainer.default_local_dir="'$RUN_DIR/checkpoints'"
  trainer.resume_mode=auto
  hydra.run.dir="'$RUN_DIR/hydra'"

  "${QLORA_ARGS[@]}"
  "${INIT_ARGS[@]}"
  "${SFT_ARGS[@]}"
  "$@"
)

if [[ ${DRY_RUN:-0} == overrides ]]; then
  printf '%s\n' "${OVERRIDES[@]}"
  exit
fi
ensure_python    # PYTHON: in .venv, created on first use; PERMIX_SKIP_SETUP=1 takes the one on PATH
if [[ ${DRY_RUN:-0} == plan ]]; then
  plan_run sft
  exit
fi

PREP=(
  "$REPO/data_prep/gsm8k_sft.py" --data "$DATA" --tokenizer "$MODEL" --personas "$PERSONAS" --seed "$SEED"
  --val-problems "$VAL_PROBLEMS" --max-prompt-length "$PROMPT_LENGTH" --max-length "$MAX_LENGTH"
  --answer-format "$ANSWER_FORMAT" --out "$RUN_DIR/data.new"
  --chat-template-kwargs "$TEMPLATE_JSON" "${PREP_FLAGS[@]}"
)
[[ -z $VAL_DATA ]] || PREP+=(--val-data "$VAL_DATA")
if [[ -n $WRITER ]]; then
  PREP+=(--engine-model "$WRITER" --store "${STORE:-$REPO/targets/$(basename "$WRITER")}" --max-tokens "$MAX_TOKENS"
    --attempts "$ATTEMPTS")
  [[ -z $BASE_URL ]] || PREP+=(--base-url "$BASE_URL")
  [[ -z $PRICE ]] || PREP+=(--price "$PRICE")
  [[ $ONLY_RIGHT != 1 ]] || PREP+=(--only-right)
  if [[ -z $BASE_URL && $PROFILE != cpu && $WRITER != lab ]]; then
    PREP+=(--tensor-parallel-size "${ENGINE_TENSOR_PARALLEL:-$GPUS}")
    # By default vLLM would require room for a context of 131,072 tokens.
    [[ $LAB == 1 ]] || PREP+=(--engine-args "{\"max_model_len\": $((1024 + MAX_TOKENS))}")
  fi
fi
read -ra MORE <<<"$TARGET_ARGS"
PREP+=("${MORE[@]}")

if [[ ${DRY_RUN:-0} == 1 ]]; then
  "$PYTHON" -m permix_verl.training.dry_run --trainer sft "${OVERRIDES[@]}"
  exit
fi
ask_doctor sft
make_lab_data
if [[ -n $LAB_VAL_DATA ]]; then
  "$PYTHON" "$REPO/data_prep/lab_problems.py" --level easy --split train --seed 1 --count 256 --out "$LAB_VAL_DATA"
fi
# With --keep-going, missing rows may exist by now, but a run that has begun keeps its data.
if [[ " $TARGET_ARGS " != *" --keep-going "* || ! -f $RUN_DIR/checkpoints/latest_checkpointed_iteration.txt ]]; then
  "$PYTHON" "${PREP[@]}"
fi
[[ " $TARGET_ARGS " != *" --dry-run "* ]] || exit 0

EVALUATION=(python eval/run.py --model "$MODEL" --adapter "$RUN_DIR/adapter")
if [[ $LAB == 1 ]]; then
  EVALUATION+=(--tasks lab_easy,lab_hard --temperature 1 --top-p 1 --limit 100 --runs 2)
else
  EVALUATION+=(--tasks gsm8k,math500)
fi
EVALUATION+=(--out "results/$(basename "$RUN_DIR")")
exec "$PYTHON" -m permix_verl.training.launch --trainer sft --run-dir "$RUN_DIR" --base "$MODEL" \
  --title "$TITLE on $MODEL_NAME, profile $PROFILE" \
  --next-command "$(printf '%q ' "${EVALUATION[@]}")" \
  --may-change "$REPO/recipes/profiles/KEYS" "${CHECK_ARGS[@]}" -- "${OVERRIDES[@]}"
