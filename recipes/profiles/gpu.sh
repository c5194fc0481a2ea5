# One node with all visible GPUs (GPUS=... overrides). Per GPU, during a weight sync, an 8B model takes
# 16 GB / TENSOR_PARALLEL for vLLM (bf16) and 32 GB / GPUS for the actor (fp32 shards), plus activations: one GPU
# needs 80 GB, four or more need 40 GB each. For your model: DRY_RUN=plan (docs/plan.md).
PROFILE_ARGS=(
  trainer.device=cuda
  trainer.nnodes="${NNODES:-1}"
  trainer.n_gpus_per_node="$GPUS"
  ray_kwargs.ray_init.num_cpus=null
  +ray_kwargs.ray_init.num_gpus=null
  +ray_kwargs.ray_init.address=null
  +ray_kwargs.ray_init.include_dashboard=null

  +actor_rollout_ref.actor.fsdp_config.mixed_precision='{param_dtype:bf16,reduce_dtype:fp32}'
  actor_rollout_ref.actor.fsdp_config.use_torch_compile=True
  actor_rollout_ref.model.enable_gradient_checkpointing=True
  actor_rollout_ref.actor.fsdp_config.param_offload=True
  actor_rollout_ref.actor.fsdp_config.optimizer_offload=True
  actor_rollout_ref.actor.ppo_micro_batch_size_per_gpu="$(micro_batch 4)"
  actor_rollout_ref.rollout.log_prob_micro_batch_size_per_gpu="$(micro_batch 8)"
  # With LoRA the reference is the actor without its adapter; verl only validates this key.
  actor_rollout_ref.ref.log_prob_micro_batch_size_per_gpu="$(micro_batch 8)"

  actor_rollout_ref.rollout.dtype=bfloat16
  actor_rollout_ref.rollout.tensor_model_parallel_size="${TENSOR_PARALLEL:-1}"
  actor_rollout_ref.rollout.gpu_memory_utilization=0.5
  actor_rollout_ref.rollout.enforce_eager=False
  actor_rollout_ref.rollout.free_cache_engine=True
  +actor_rollout_ref.rollout.enable_sleep_mode=True
  actor_rollout_ref.rollout.layered_summon=False
  actor_rollout_ref.rollout.max_num_batched_tokens=8192
  actor_rollout_ref.rollout.enable_chunked_prefill=True
  actor_rollout_ref.rollout.agent.num_workers=8
  actor_rollout_ref.rollout.checkpoint_engine.update_weights_bucket_megabytes=2048

  reward.num_workers=8
  data.dataloader_num_workers=4
  transfer_queue.backend.SimpleStorage.num_data_storage_units=8
)
SFT_ARGS=(
  trainer.device=cuda
  trainer.nnodes=1
  trainer.n_gpus_per_node="$GPUS"
  +engine.mixed_precision='{param_dtype:bf16,reduce_dtype:fp32}'
  engine.use_torch_compile=True
  engine.param_offload=False                 # no rollout engine shares the memory
  engine.optimizer_offload=False
  model.enable_gradient_checkpointing=True
  data.micro_batch_size_per_gpu="$(micro_batch 4)"
)
# bf16 on both sides, with different kernels: rounding accounts for a few hundredths of a nat per token.
CHECK_ARGS=(--check-dtype bfloat16 --check-device cuda --check-statistic mean --check-tolerance 0.05)
