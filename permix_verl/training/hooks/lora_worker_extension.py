"""verl's vLLM worker, which can say what adapter it holds.

    +actor_rollout_ref.rollout.engine_kwargs.vllm.worker_extension_cls=permix_verl.training.hooks.lora_worker_extension.AdapterReader

vLLM makes this a base of its worker in every worker process.
"""

from typing import Any

from verl.workers.rollout.vllm_rollout.utils import VLLM_LORA_INT_ID, vLLMColocateWorkerExtension

from permix_verl.training.guards.adapter_norm import sample_size


class AdapterReader(vLLMColocateWorkerExtension):  # type: ignore[misc]
    """verl's extension with a method more."""

    def adapter_size(self) -> tuple[float, str]:
        """:func:`permix_verl.training.guards.adapter_norm.sample_size` of the adapter that requests are answered with.

        And the data type that its weights are in; without an adapter 0 and the type that one would get.

        vLLM keeps every adapter whole on each worker, packed layers as lists, its scale multiplied into B.
        """
        manager: Any = self.model_runner.lora_manager._adapter_manager  # type: ignore[attr-defined]
        adapter = manager.get_adapter(VLLM_LORA_INT_ID)
        dtype = str(manager.lora_config.lora_dtype).removeprefix("torch.")
        if adapter is None:
            return 0.0, dtype
        found = 0.0
        for layer in adapter.loras.values():
            parts = layer.lora_b if isinstance(layer.lora_b, list) else [layer.lora_b]
            scales = layer.scaling if isinstance(layer.scaling, list) else [layer.scaling] * len(parts)
            found += sum(sample_size(b, scale) for b, scale in zip(parts, scales, strict=True) if b is not None)
        return found, dtype
