# The paper's machine (appendix B.1): 8 x NVIDIA RTX A5000, 24 GB each, Llama-3.1-8B, LoRA.
# The gpu profile with less of everything that takes memory.
#
# A budget per GPU, computed and not measured (no such machine was at hand):
#   while training   base 8.03 B x 4 B / 8 ranks (fp32 shards)        4.0 GB, on the CPU while generating
#                    one layer gathered in bf16                       0.5 GB
#                    LoRA r=32: 84 M x (4 + 4 + 8) B / 8 ranks        0.2 GB
#                    logits, 2 x 768 x 128,256 x (bf16 + fp32 twice)  2.0 GB
#                    activations, checkpointed, 2 x 768 x 4096 x 32   0.4 GB
#   while generating base in bf16 / tensor parallel 4                 4.0 GB
#                    KV cache and workspace, up to 0.55 x 24 GB       9.2 GB
# Supervised, without a rollout engine: the base's shards, a layer, LoRA and Adam as above (4.7 GB), activations, and the
# logits of one micro-batch of 2048 tokens, 2048 x 128,256 x (bf16 + fp32 twice) = 2.6 GB. Computed, too.
# With QLORA=1 the base is 5.7 GB on every GPU, in place of 4.0 and 0.5 of shards and layer (docs/training.md).
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
  actor_rollout_ref.rollout.layered_summon=True     # under 48 GB: one layer's weights at a time
  actor_rollout_ref.rollout.max_num_batched_tokens=4096
  actor_rollout_ref.rollout.checkpoint_engine.update_weights_bucket_megabytes=512
)
SFT_ARGS+=(data.micro_batch_size_per_gpu="$(micro_batch $(( ${MAX_LENGTH:-2048} > 1024 ? 1 : 2 )))")
