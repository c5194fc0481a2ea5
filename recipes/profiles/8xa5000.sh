# The paper's machine (appendix B.1): 8 x NVIDIA RTX A5000, 24 GB each, Llama-3.1-8B, LoRA.
# The gpu profile with smaller memory settings.
#
# The memory plan: DRY_RUN=plan PROFILE=8xa5000 bash recipes/run_permix_grpo.sh (docs/plan.md). Of 24.0 GiB an update takes
# 10.2, log-probs 12.3, generation 14.5 and the weight sync 11.1. The actor's memory agrees with measurements on another
# GPU within 1.2 %; vLLM's is computed.
# With QLORA=1 the base takes 5.7 GB on every GPU, instead of 4.0 for shards and 0.5 for a layer (docs/training.md).
if [[ ${GPUS_ASKED:-8} != 8 ]]; then
  echo "error: GPUS=$GPUS_ASKED with PROFILE=8xa5000; set PROFILE=gpu for another number of GPUs" >&2
  exit 2
fi
PLAN_ARGS=(--gpu A5000)
GPUS=8 TENSOR_PARALLEL=${TENSOR_PARALLEL:-4}
source "$REPO/recipes/profiles/gpu.sh"
PROFILE_ARGS+=(
  actor_rollout_ref.actor.ppo_micro_batch_size_per_gpu="$(micro_batch 2)"
  actor_rollout_ref.rollout.log_prob_micro_batch_size_per_gpu="$(micro_batch 4)"
  actor_rollout_ref.ref.log_prob_micro_batch_size_per_gpu="$(micro_batch 4)"
  actor_rollout_ref.rollout.gpu_memory_utilization=0.55
  actor_rollout_ref.rollout.layered_summon=True     # verl's advice below 48 GB; no effect under FSDP2
  actor_rollout_ref.rollout.max_num_batched_tokens=4096
  actor_rollout_ref.rollout.checkpoint_engine.update_weights_bucket_megabytes=512
)
SFT_ARGS+=(data.micro_batch_size_per_gpu="$(micro_batch $(( ${MAX_LENGTH:-2048} > 1024 ? 1 : 2 )))")
