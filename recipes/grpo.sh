# The GRPO recipe that run_permix_grpo.sh and run_rlvr_grpo.sh share; sourced, not run.
# Table 7 of the paper (arXiv 2604.08986), as verl's keys. Machine-specific settings are in profiles/.

REPO=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
source "$REPO/recipes/common.sh"
choose_profile   # sets PROFILE to 8xa5000, gpu or cpu by the hardware, unless set

choose_lab
choose_qlora actor_rollout_ref.model
choose_initial_adapter actor_rollout_ref.model "$@"
if [[ $LAB == 1 ]]; then
  BATCH=${BATCH:-16} LR=${LR:-3e-3} KL=${KL:-0.05} LORA_RANK=${LORA_RANK:-8} PROMPT_LENGTH=${PROMPT_LENGTH:-112}
  RESPONSE_LENGTH=${RESPONSE_LENGTH:-40} VAL_PROBLEMS=${VAL_PROBLEMS:-8} TEST_FREQ=${TEST_FREQ:-1000}
  SAVE_FREQ=${SAVE_FREQ:-10} SEED_ROLLOUTS=${SEED_ROLLOUTS:-1} TENSOR_PARALLEL=${TENSOR_PARALLEL:-1}
fi

# --- knobs ------------------------------------------------------------------------------
MODEL=${MODEL:-meta-llama/Llama-3.1-8B-Instruct}  # hub name or folder
TASK=${TASK:-math}                                # math or code: rows and reward (docs/code.md)
STRICT=${STRICT:-0}                               # 1: only a closed \boxed{} or #### counts as a final answer (docs/answers.md)
DATA=${DATA:-openai/gsm8k}                        # hub name, folder, .jsonl or .parquet
PERSONAS=${PERSONAS:-train}                       # packaged pool or a .jsonl of your own
NO_PERSONA_PROB=${NO_PERSONA_PROB:-0}             # fraction of rows without a persona, resampled in each epoch
DEV_PERSONAS=${DEV_PERSONAS:-}                    # for validation only: a number (sampled with SEED), or key,key (\, for a comma in a key)
SEED=${SEED:-0}                                   # of personas, data order, initial adapter, dropout and rollouts
SEED_ROLLOUTS=${SEED_ROLLOUTS:-0}                 # 1: one seed per rollout; slows vLLM's sampling on GPUs
EPOCHS=${EPOCHS:-1}                               # Table 7; every epoch has its own personas and order
BATCH=${BATCH:-64}                                # Table 7
BATCH_UNIT=${BATCH_UNIT:-problems}                # problems (verl's 64: 116 steps) or completions (TRL's 64: 934)
ROLLOUTS=${ROLLOUTS:-8}                           # samples per problem; Table 7
PROMPT_LENGTH=${PROMPT_LENGTH:-256}               # tokens; Table 7
RESPONSE_LENGTH=${RESPONSE_LENGTH:-512}           # tokens; Table 7
LR=${LR:-1e-5}                                    # missing in our copy of Table 7
KL=${KL:-0.001}                                   # weight of the KL loss; missing in our copy
INIT_ADAPTER=${INIT_ADAPTER:-}                    # a LoRA adapter of MODEL to start from: KL reference and first policy (docs/training.md)
LORA_RANK=${LORA_RANK:-32}                        # missing in our copy; INIT_ADAPTER fixes rank and alpha
LORA_ALPHA=${LORA_ALPHA:-$((2 * LORA_RANK))}      # missing in our copy
LORA_DROPOUT=${LORA_DROPOUT:-0.05}                # appendix B.1; above 0 results depend on the micro-batch size (docs/training.md)
QLORA=${QLORA:-0}                                 # 1: the base in NF4, as in appendix B.1 (docs/training.md)
VAL_PROBLEMS=${VAL_PROBLEMS:-32}                  # validation problems, each under every persona and none
TEST_FREQ=${TEST_FREQ:-20}                        # steps between validations
SAVE_FREQ=${SAVE_FREQ:-20}                        # steps between checkpoints
MIN_AGREEMENT=${MIN_AGREEMENT:-$([[ $QLORA == 0 ]] && echo 0.99 || echo 0.95)} # least rollout-actor correlation of a step
STOP_ON_DISAGREEMENT=${STOP_ON_DISAGREEMENT:-1}   # 1: end a run whose rollouts come from another policy; 0: train on, end with status 3
STALL_SECONDS=${STALL_SECONDS:-40}                # without progress, after which the run is ended
RUN_DIR=${RUN_DIR:-$REPO/runs/$ARM-$(basename "$MODEL")-seed$SEED}
# ----------------------------------------------------------------------------------------

settle_paths
# The rollout engine's base is not NF4, so the actor must compute the old log-probs.
[[ $QLORA == 0 ]] || QLORA_ARGS+=(algorithm.rollout_correction.bypass_mode=False)

case $BATCH_UNIT in
  problems) PROBLEMS=$BATCH ;;
  completions)
    if (( BATCH % ROLLOUTS )); then
      echo "error: BATCH=$BATCH completions are not a whole number of groups of ROLLOUTS=$ROLLOUTS; change one" >&2
      exit 2
    fi
    PROBLEMS=$((BATCH / ROLLOUTS))
    ;;
  *) echo "error: unknown BATCH_UNIT '$BATCH_UNIT'; known: problems completions" >&2; exit 2 ;;
esac

case $TASK in
  math) REWARD=math_reward ;;
  code)
    REWARD=code_reward
    if [[ $DATA == openai/gsm8k || -n $LAB_DATA ]]; then
      echo "error: TASK=code needs programming problems; set DATA to a file of them (docs/code.md)" >&2
      exit 2
    fi
    ;;
  *) echo "error: unknown TASK '$TASK'; known: math code" >&2; exit 2 ;;
esac

case $STOP_ON_DISAGREEMENT in
  0 | 1) ;;
  *) echo "error: STOP_ON_DISAGREEMENT=$STOP_ON_DISAGREEMENT is neither 0 nor 1" >&2; exit 2 ;;
esac

STRICTNESS=()
case $STRICT-$TASK in
  0-*) ;;
  1-math) STRICTNESS=(+reward.custom_reward_function.reward_kwargs.strict=True) ;;
  1-code) echo "error: STRICT=1 is about marked answers, and TASK=code has none; leave it 0" >&2; exit 2 ;;
  *) echo "error: STRICT=$STRICT is neither 0 nor 1" >&2; exit 2 ;;
esac

source_profile   # sets PROFILE_ARGS and CHECK_ARGS
if (( PROBLEMS * ROLLOUTS % (GPUS * ${NNODES:-1}) )); then
  echo "error: $PROBLEMS problems x ROLLOUTS=$ROLLOUTS samples do not divide over $GPUS GPUs x ${NNODES:-1} nodes; change one" >&2
  exit 2
fi
if (( ${NNODES:-1} > 1 )) && [[ -z ${RAY_ADDRESS:-} && ${DRY_RUN:-0} == 0 ]]; then
  echo "error: NNODES=$NNODES needs a Ray cluster: start one (ray start, on each node) and set RAY_ADDRESS" >&2
  exit 2
fi

SEEDING=()
if [[ $SEED_ROLLOUTS == 1 ]]; then
  SEEDING=(
    actor_rollout_ref.rollout.agent.agent_loop_config_path="'$REPO/permix_verl/training/hooks/agent_loop.yaml'"
    actor_rollout_ref.rollout.agent.default_agent_loop=seeded_single_turn
  )
fi

# Paths have inner quotes, which protect their special characters from Hydra.
OVERRIDES=(
  # Data: our dataset class refuses prompts that lose their persona, and never truncates silently.
  data.train_files="'$RUN_DIR/data/train.parquet'"
  data.val_files="'$RUN_DIR/data/val.parquet'"
  data.custom_cls.path=pkg://permix_verl.dataset
  data.custom_cls.name=PersonaMixDataset
  data.train_batch_size="$PROBLEMS"
  data.max_prompt_length="$PROMPT_LENGTH"
  data.max_response_length="$RESPONSE_LENGTH"
  data.seed="$SEED"
  # The dataset presents all epochs as one, in its own order, so that any resume continues correctly.
  +data.epochs="$EPOCHS"
  data.shuffle=False
  trainer.total_epochs=1
  "${TEMPLATE_ARGS[@]}"

  # GRPO with a KL loss to the base model, or to INIT_ADAPTER (the paper's Eq. 2 is KL-regularized).
  algorithm.adv_estimator=grpo
  actor_rollout_ref.rollout.n="$ROLLOUTS"
  actor_rollout_ref.actor.ppo_mini_batch_size="$PROBLEMS"
  actor_rollout_ref.actor.use_kl_loss=True
  actor_rollout_ref.actor.kl_loss_coef="$KL"
  actor_rollout_ref.actor.kl_loss_type=low_var_kl
  algorithm.use_kl_in_reward=False
  critic.enable=False

  # Table 7's optimizer. actor.grad_clip is a dead key: the live one is optim.clip_grad.
  actor_rollout_ref.actor.optim.lr="$LR"
  actor_rollout_ref.actor.optim.lr_scheduler_type=cosine
  actor_rollout_ref.actor.optim.lr_warmup_steps_ratio=0.05
  actor_rollout_ref.actor.optim.weight_decay=0.1
  actor_rollout_ref.actor.optim.clip_grad=0.1
  +actor_rollout_ref.actor.optim.override_optimizer_config.fused=True

  # The model: LoRA on the seven linear layers (appendix B.1). FSDP2 on every machine, so that a run without a GPU
  # uses the same engine.
  actor_rollout_ref.model.path="'$MODEL'"
  actor_rollout_ref.model.lora_rank="$LORA_RANK"
  actor_rollout_ref.model.lora_alpha="$LORA_ALPHA"
  actor_rollout_ref.model.target_modules="$TARGET_MODULES"
  # verl's FSDP engine would create an unseeded adapter without dropout; it loads this one instead.
  actor_rollout_ref.model.lora_adapter_path="'$RUN_DIR/initial_adapter'"
  +permix.lora_dropout="$LORA_DROPOUT"
  actor_rollout_ref.model.use_remove_padding=False
  +actor_rollout_ref.model.override_config.attn_implementation=sdpa
  actor_rollout_ref.actor.strategy=fsdp2
  actor_rollout_ref.actor.fsdp_config.model_dtype=fp32
  +actor_rollout_ref.actor.checkpoint.save_lora_only=True

  # Rollouts with vLLM: base weights from disk, the adapter synced after every step.
  actor_rollout_ref.rollout.name=vllm
  actor_rollout_ref.rollout.load_format=safetensors
  actor_rollout_ref.rollout.temperature=1.0
  actor_rollout_ref.rollout.calculate_log_probs=True
  # Validation samples as training does: at temperature 0 one completion decides, and personas would differ by chance.
  actor_rollout_ref.rollout.val_kwargs.do_sample=True
  actor_rollout_ref.rollout.val_kwargs.temperature=1.0

  # Reward: 1 or 0, independent of the persona (appendix B.4); for code, 1 if the program passes its tests.
  reward.custom_reward_function.path=pkg://permix_verl.reward_fns.$REWARD
  reward.custom_reward_function.name=compute_score_async
  "${STRICTNESS[@]}"

  trainer.project_name=permix_verl
  trainer.experiment_name="'$(basename "$RUN_DIR")'"
  trainer.logger='[console,file]'
  trainer.test_freq="$TEST_FREQ"
  trainer.save_freq="$SAVE_FREQ"
  trainer.max_actor_ckpt_to_keep=2
  trainer.default_local_dir="'$RUN_DIR/checkpoints'"
  trainer.rollout_data_dir="'$RUN_DIR/rollouts'"
  trainer.validation_data_dir="'$RUN_DIR/validation'"
  trainer.checkpoint_callback_class=permix_verl.training.hooks.checkpoint_callback.RecordRollouts
  trainer.resume_mode=auto
  # Watchdog, persona metrics and seeds, in the buffer where verl's trainer waits for its rollouts.
  trainer.v1.sampler.custom_sampler.path=pkg://permix_verl.training.hooks.replay_buffer
  trainer.v1.sampler.custom_sampler.name=PersonaReplayBuffer
  +trainer.v1.sampler.sampler_kwargs.run_dir="'$RUN_DIR'"
  +trainer.v1.sampler.sampler_kwargs.stall_seconds="$STALL_SECONDS"
  +trainer.v1.sampler.sampler_kwargs.min_agreement="$MIN_AGREEMENT"
  +trainer.v1.sampler.sampler_kwargs.stop_on_disagreement="$STOP_ON_DISAGREEMENT"
  # Worker extension with a method that reports the loaded adapter.
  +actor_rollout_ref.rollout.engine_kwargs.vllm.worker_extension_cls=permix_verl.training.hooks.lora_worker_extension.AdapterReader
  hydra.run.dir="'$RUN_DIR/hydra'"

  "${QLORA_ARGS[@]}"
  "${INIT_ARGS[@]}"
  "${SEEDING[@]}"
  "${PROFILE_ARGS[@]}"
  "$@"
)

if [[ ${DRY_RUN:-0} == overrides ]]; then
  printf '%s\n' "${OVERRIDES[@]}"
  exit
fi
ensure_python    # PYTHON: in .venv, created on first use; PERMIX_SKIP_SETUP=1 takes the one on PATH
if [[ ${DRY_RUN:-0} == plan ]]; then
  plan_run grpo
  exit
fi
if [[ ${DRY_RUN:-0} == 1 ]]; then
  "$PYTHON" -m permix_verl.training.dry_run "${OVERRIDES[@]}"
  exit
fi

ask_doctor grpo
make_lab_data
"$PYTHON" "$REPO/data_prep/gsm8k_persona.py" --task "$TASK" --data "$DATA" --tokenizer "$MODEL" --personas "$PERSONAS" \
  --seed "$SEED" --no-persona-probability "$NO_PERSONA_PROB" --val-problems "$VAL_PROBLEMS" --dev-personas "$DEV_PERSONAS" \
  --max-prompt-length "$PROMPT_LENGTH" --out "$RUN_DIR/data.new" \
  --chat-template-kwargs "$TEMPLATE_JSON" "${PREP_FLAGS[@]}"

exec "$PYTHON" -m permix_verl.training.launch --run-dir "$RUN_DIR" --base "$MODEL" --min-agreement "$MIN_AGREEMENT" \
  --title "$TITLE on $MODEL_NAME, profile $PROFILE" --next-command "$(next_command)" \
  --may-change "$REPO/recipes/profiles/KEYS" "${CHECK_ARGS[@]}" -- "${OVERRIDES[@]}"
