"""Keys in which profiles may differ: what the hardware decides. Everything else is the experiment."""

PROFILE_KEYS = (
    "trainer.device",
    "trainer.nnodes",
    "trainer.n_gpus_per_node",
    "ray_kwargs.ray_init.num_cpus",
    "ray_kwargs.ray_init.num_gpus",
    "ray_kwargs.ray_init.address",
    "ray_kwargs.ray_init.include_dashboard",
    "actor_rollout_ref.actor.fsdp_config.mixed_precision",
    "actor_rollout_ref.actor.fsdp_config.use_torch_compile",
    "actor_rollout_ref.model.enable_gradient_checkpointing",
    "actor_rollout_ref.actor.fsdp_config.param_offload",
    "actor_rollout_ref.actor.fsdp_config.optimizer_offload",
    "actor_rollout_ref.actor.ppo_micro_batch_size_per_gpu",
    "actor_rollout_ref.rollout.log_prob_micro_batch_size_per_gpu",
    "actor_rollout_ref.ref.log_prob_micro_batch_size_per_gpu",
    "actor_rollout_ref.rollout.dtype",
    "actor_rollout_ref.rollout.tensor_model_parallel_size",
    "actor_rollout_ref.rollout.gpu_memory_utilization",
    "actor_rollout_ref.rollout.enforce_eager",
    "actor_rollout_ref.rollout.free_cache_engine",
    "actor_rollout_ref.rollout.enable_sleep_mode",
    "actor_rollout_ref.rollout.layered_summon",
    "actor_rollout_ref.rollout.max_num_batched_tokens",
    "actor_rollout_ref.rollout.enable_chunked_prefill",
    "actor_rollout_ref.rollout.engine_kwargs.vllm.block_size",
    "actor_rollout_ref.rollout.agent.num_workers",
    "actor_rollout_ref.rollout.checkpoint_engine.update_weights_bucket_megabytes",
    "reward.num_workers",
    "data.dataloader_num_workers",
    "transfer_queue.backend.SimpleStorage.num_data_storage_units",
    "engine.mixed_precision",
    "engine.use_torch_compile",
    "engine.param_offload",
    "engine.optimizer_offload",
    "model.enable_gradient_checkpointing",
    "data.micro_batch_size_per_gpu",
)
"""Beginnings of the keys."""
RANK_KEYS = ("trainer.nnodes", "trainer.n_gpus_per_node")
CHANGEABLE_BY_PROFILE = tuple(key for key in PROFILE_KEYS if key not in RANK_KEYS)
"""Keys that may change on resume: all but the number of ranks, with which verl wrote the checkpoint."""
