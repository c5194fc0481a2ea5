# The paper's machine (appendix B.1): 8 x NVIDIA RTX A5000, 24 GB each, Llama-3.1-8B, LoRA.
#
# A budget per GPU, computed and not measured (no such machine was at hand):
#   while training   base 8.03 B x 4 B / 8 ranks (fp32 shards)        4.0 GB, on the CPU while generating
#                    one layer gathered in bf16                       0.5 GB
#                    LoRA r=32: 84 M x (4 + 4 + 8) B / 8 ranks        0.2 GB
#                    logits, 2 x 768 x 128,256 x (bf16 + fp32 twice)  2.0 GB
#                    activations, checkpointed, 2 x 768 x 4096 x 32   0.4 GB
#   while generating base in bf16 / tensor parallel 4                 4.0 GB
#                    KV cache and workspace, up to 0.55 x 24 GB       9.2 GB
GPUS=8
PROFILE_ARGS=(
  trainer.device=cuda
  trainer.nnodes="${NNODES:-1}"
  trainer.n_gpus_per_node="$GPUS"
  ray_kwargs.ray_init.num_cpus=null
  +ray_kwargs.ray_init.num_gpus=null

  +actor_rollout_ref.actor.fsdp_config.mixed_precision='{param_dtype:bf16,reduce_dtype:fp32,buffer_dtype:fp32}'
  actor_rollout_ref.actor.use_torch_compile=True
  actor_rollout_ref.actor.fsdp_config.use_torch_compile=True
  actor_rollout_ref.actor.fsdp_config.param_offload=True
  actor_rollout_ref.actor.fsdp_config.optimizer_offload=True
  actor_rollout_ref.actor.ppo_micro_batch_size_per_gpu=2
  actor_rollout_ref.rollout.log_prob_micro_batch_size_per_gpu=4
  actor_rollout_ref.ref.log_prob_micro_batch_size_per_gpu=4

  actor_rollout_ref.rollout.dtype=bfloat16
  actor_rollout_ref.rollout.tensor_model_parallel_size=4
  actor_rollout_ref.rollout.gpu_memory_utilization=0.55
  actor_rollout_ref.rollout.enforce_eager=False
  actor_rollout_ref.rollout.free_cache_engine=True
  +actor_rollout_ref.rollout.enable_sleep_mode=True
  actor_rollout_ref.rollout.layered_summon=True     # under 48 GB: one layer's weights at a time
  actor_rollout_ref.rollout.max_num_batched_tokens=4096
  actor_rollout_ref.rollout.agent.num_workers=8
  actor_rollout_ref.rollout.checkpoint_engine.update_weights_bucket_megabytes=512

  reward.num_workers=8
  data.dataloader_num_workers=4
  transfer_queue.backend.SimpleStorage.num_data_storage_units=8
)
CHECK_ARGS=(--check-dtype bfloat16 --check-device cuda --check-tolerance 0.5)
