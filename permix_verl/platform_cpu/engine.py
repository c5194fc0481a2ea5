"""verl's FSDP engine without the work that no result depends on, which on a CPU is up to half of a pass.

- Logits, log-probs and entropy are computed where a response token is predicted. verl computes them for prompts too,
  and each token's log-sum-exp in a call of its own.
- Passes without gradients (old and reference log-probs) read a prompt that several rollouts share once, into a KV
  cache.

Log-probs are those of verl up to floating point; prompt positions hold zeros, which no loss reads.
"""

from typing import Any

import torch
import verl.utils.torch_functional as verl_F
from transformers import DynamicCache
from verl.utils import tensordict_utils as tu
from verl.workers.engine.fsdp.transformer_impl import FSDPEngineWithLMHead

from permix_verl.platform_cpu.predicted_positions import predicted_positions
from permix_verl.platform_cpu.shared_prompts import SharedPrompts, shared_prompts

_OTHER_OUTPUTS = ("use_fused_kernels", "calculate_sum_pi_squared", "distillation_use_topk", "distillation_only")
FULL_ATTENTION = ("llama", "qwen2", "qwen3")
"""Model types whose KV cache holds every earlier token of every layer, unless a sliding window is set."""


class ResponseEngine(FSDPEngineWithLMHead):  # type: ignore[misc,unused-ignore]
    """verl's engine for language models, for micro-batches of text; anything else goes verl's own way."""

    _hook: Any = None

    def forward_step(self, micro_batch: Any, loss_function: Any, forward_only: bool) -> Any:
        try:
            return super().forward_step(micro_batch, loss_function, forward_only)
        finally:
            self._release_head()

    def prepare_model_inputs(self, micro_batch: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return verl's model inputs, or those of the responses alone behind a cache of their prompts."""
        inputs, arguments = super().prepare_model_inputs(micro_batch)
        positions = predicted_positions(micro_batch) if self._is_plain(micro_batch, inputs) else None
        if positions is None:
            return inputs, arguments
        arguments["predicted"] = positions
        shared = None if torch.is_grad_enabled() or not self._has_full_attention() else shared_prompts(micro_batch)
        if shared is None:
            self._select_at_head(inputs["attention_mask"].bool().flatten().nonzero()[:, 0][positions])
            return inputs, arguments
        cache = self._cache_of(shared)
        self._select_at_head(shared.response_mask.flatten().nonzero()[:, 0])
        return shared.response_inputs(cache), arguments

    def prepare_model_outputs(
        self, output: Any, output_args: dict[str, Any], micro_batch: Any, logits_processor_func: Any
    ) -> dict[str, Any]:
        """Return nested log-probs, and entropy where asked for, each of the sequences' lengths."""
        positions = output_args.get("predicted")
        if positions is None:
            return dict(super().prepare_model_outputs(output, output_args, micro_batch, logits_processor_func))
        ids = micro_batch["input_ids"]
        offsets = ids.offsets()
        logits = output.logits[0]
        if not output_args["temperature_is_one"]:
            rows = torch.bucketize(positions, offsets[1:], right=True)
            logits = logits / output_args["temperature"][rows].clamp(min=1e-8).unsqueeze(-1).to(logits.dtype)
        labels = output_args["input_ids_rmpad_rolled"][positions]
        found = {"log_probs": logits.gather(-1, labels.unsqueeze(-1)).squeeze(-1) - logits.logsumexp(-1)}
        if tu.get_non_tensor_data(data=micro_batch, key="calculate_entropy", default=False):
            found["entropy"] = verl_F.entropy_from_logits(logits)
        total = ids.values().shape[0]
        return {
            name: torch.nested.nested_tensor_from_jagged(
                values.new_zeros(total).index_copy(0, positions, values), offsets
            )
            for name, values in found.items()
        }

    def _is_plain(self, micro_batch: Any, inputs: dict[str, Any]) -> bool:
        """Return whether the micro-batch is text whose log-probs verl would compute from padded logits."""
        asked = [tu.get_non_tensor_data(data=micro_batch, key=key, default=False) for key in _OTHER_OUTPUTS]
        text_only = set(inputs) == {"input_ids", "attention_mask", "position_ids"} and inputs["position_ids"].dim() == 2
        return text_only and inputs["attention_mask"] is not None and not any(asked)

    def _has_full_attention(self) -> bool:
        config = self.module.config
        windowed = getattr(config, "use_sliding_window", False) or set(
            getattr(config, "layer_types", None) or ["full_attention"]
        ) != {"full_attention"}
        return config.model_type in FULL_ATTENTION and not windowed

    def _cache_of(self, shared: SharedPrompts) -> DynamicCache:
        """Return the KV cache of the distinct prompts but for their last token, one entry for each sequence."""
        cache = DynamicCache()
        self._select_at_head(torch.zeros(1, dtype=torch.long))
        self.module(**shared.prompt_inputs(cache), use_cache=True)
        cache.batch_select_indices(shared.prompt_of)
        return cache

    def _select_at_head(self, rows: torch.Tensor) -> None:
        """Pass only these rows of the flattened hidden states, shape (batch * length, hidden), to the output layer."""

        def select(_: Any, inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
            return (inputs[0].flatten(0, 1)[rows].unsqueeze(0), *inputs[1:])

        self._release_head()
        self._hook = self.module.get_output_embeddings().register_forward_pre_hook(select)

    def _release_head(self) -> None:
        if self._hook is not None:
            self._hook.remove()
            self._hook = None
