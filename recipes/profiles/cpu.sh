# No accelerator: the same verl, Ray, vLLM and LoRA, in float32, with one worker.
export VERL_PLATFORM=cpu                      # permix_verl.plugin provides it
export VLLM_CPU_KVCACHE_SPACE=${VLLM_CPU_KVCACHE_SPACE:-1}   # GiB
export VLLM_CPU_OMP_THREADS_BIND=${VLLM_CPU_OMP_THREADS_BIND:-nobind}
[[ $MODEL == "$LAB_MODEL" && -n $LAB_DATA ]] && [[ -z ${WRITER:-} || $WRITER == lab || -d $WRITER ]] && export HF_HUB_OFFLINE=${HF_HUB_OFFLINE:-1}   # nothing to download

GPUS=${RANKS:-1}                              # logical GPUs, on which Ray schedules workers
# Ray gives an actor one thread by default. Trainer and rollout engine never work at the same time.
CORES=$(nproc)
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-$(( CORES < GPUS ? 1 : CORES / GPUS > 8 ? 8 : CORES / GPUS ))}
if [[ -n ${RAY_ADDRESS:-} ]]; then            # an existing cluster defines its own: ray start --num-cpus 64 --num-gpus 1
  CPU_RAY=(ray_kwargs.ray_init.num_cpus=null +ray_kwargs.ray_init.num_gpus=null +ray_kwargs.ray_init.address="'$RAY_ADDRESS'"
    +ray_kwargs.ray_init.include_dashboard=null)
else
  # Logical CPUs: with fewer, the queue waits silently and for ever for actors that do not fit.
  CPU_RAY=(ray_kwargs.ray_init.num_cpus=64 +ray_kwargs.ray_init.num_gpus="$GPUS" +ray_kwargs.ray_init.address=local
    +ray_kwargs.ray_init.include_dashboard=False)   # saves a dozen processes
fi
PROFILE_ARGS=(
  trainer.device=cpu
  trainer.nnodes="${NNODES:-1}"
  trainer.n_gpus_per_node="$GPUS"
  "${CPU_RAY[@]}"

  +actor_rollout_ref.actor.fsdp_config.mixed_precision='{param_dtype:fp32,reduce_dtype:fp32}'
  actor_rollout_ref.actor.fsdp_config.use_torch_compile=False
  actor_rollout_ref.model.enable_gradient_checkpointing=False   # would take a third of an update's time
  actor_rollout_ref.actor.fsdp_config.param_offload=False
  actor_rollout_ref.actor.fsdp_config.optimizer_offload=False
  actor_rollout_ref.actor.ppo_micro_batch_size_per_gpu="$(micro_batch 32)"
  actor_rollout_ref.rollout.log_prob_micro_batch_size_per_gpu="$(micro_batch 64)"
  # With LoRA the reference is the actor without its adapter; verl only validates this key.
  actor_rollout_ref.ref.log_prob_micro_batch_size_per_gpu="$(micro_batch 64)"

  actor_rollout_ref.rollout.dtype=float32
  actor_rollout_ref.rollout.tensor_model_parallel_size=1
  actor_rollout_ref.rollout.gpu_memory_utilization=0.5
  actor_rollout_ref.rollout.enforce_eager=True
  actor_rollout_ref.rollout.free_cache_engine=False
  +actor_rollout_ref.rollout.enable_sleep_mode=False
  actor_rollout_ref.rollout.layered_summon=False
  actor_rollout_ref.rollout.max_num_batched_tokens=8192
  # Chunked prefill rewinds a seeded generator, which torch cannot do on CPU: seeded rollouts would crash.
  actor_rollout_ref.rollout.enable_chunked_prefill=False
  # The default on CPU is 128 tokens, and a group's samples share complete blocks only.
  +actor_rollout_ref.rollout.engine_kwargs.vllm.block_size=32
  actor_rollout_ref.rollout.agent.num_workers=1
  actor_rollout_ref.rollout.checkpoint_engine.update_weights_bucket_megabytes=64

  reward.num_workers=1
  data.dataloader_num_workers=0
  transfer_queue.backend.SimpleStorage.num_data_storage_units=1
)
SFT_ARGS=(
  trainer.device=cpu
  trainer.nnodes=1
  trainer.n_gpus_per_node="$GPUS"
  +engine.mixed_precision='{param_dtype:fp32,reduce_dtype:fp32}'
  engine.use_torch_compile=False
  engine.param_offload=False
  engine.optimizer_offload=False
  model.enable_gradient_checkpointing=False
  data.micro_batch_size_per_gpu="$(micro_batch 32)"
)
# The exported adapter must give the actor's log-probs, in nats.
CHECK_ARGS=(--check-dtype float32 --check-device cpu --check-tolerance 1e-4)
