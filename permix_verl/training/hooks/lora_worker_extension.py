"""vLLM worker extension that reports the norm of the loaded LoRA adapter.

    +actor_rollout_ref.rollout.engine_kwargs.vllm.worker_extension_cls=permix_verl.training.hooks.lora_worker_extension.AdapterReader

vLLM adds the class to the bases of its worker in every worker process.
"""

from typing import Any

from verl.workers.rollout.vllm_rollout.utils import VLLM_LORA_INT_ID, vLLMColocateWorkerExtension

from permix_verl.training.guards.adapter_norm import lora_b_sq_norm


class AdapterReader(vLLMColocateWorkerExtension):  # type: ignore[misc]
    """verl's worker extension plus :meth:`adapter_sq_norm`."""

    def adapter_sq_norm(self) -> tuple[float, str]:
        """Return squared norm and dtype of the loaded adapter; without one, 0 and the dtype that it would have.

        The norm is :func:`permix_verl.training.guards.adapter_norm.lora_b_sq_norm` summed over layers. vLLM keeps the
        whole adapter on each worker, packed layers as lists, with its scale multiplied into B.
        """
        manager: Any = self.model_runner.lora_manager._adapter_manager  # type: ignore[attr-defined]
        adapter = manager.get_adapter(VLLM_LORA_INT_ID)
        dtype = str(manager.lora_config.lora_dtype).removeprefix("torch.")
        if adapter is None:
            return 0.0, dtype
        total = 0.0
        for layer in adapter.loras.values():
            parts = layer.lora_b if isinstance(layer.lora_b, list) else [layer.lora_b]
            scales = layer.scaling if isinstance(layer.scaling, list) else [layer.scaling] * len(parts)
            total += sum(lora_b_sq_norm(b, scale) for b, scale in zip(parts, scales, strict=True) if b is not None)
        return total, dtype
