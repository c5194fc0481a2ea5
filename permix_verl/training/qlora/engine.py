"""verl's FSDP2 engine with an NF4 base replicated on every rank, as under the paper's DDP, and sharded LoRA weights.

    actor_rollout_ref.model.external_lib=permix_verl.training.qlora.engine      (model.external_lib in SFT)

verl imports that module in each of its processes before it chooses an engine, and prefers an engine registered for the
machine's vendor to one for its device type. FSDP ignores the base: sharded 4-bit weights are silently wrong
(bitsandbytes #1945, accelerate #3983).
"""

from collections.abc import Iterable
from typing import Any

import torch
import torch.distributed
from torch.distributed.fsdp import MixedPrecisionPolicy
from verl.utils.device import get_device_id, get_device_name, get_vendor
from verl.utils.fsdp_utils import apply_fsdp2
from verl.utils.torch_dtypes import PrecisionType
from verl.workers.engine.base import EngineRegistry
from verl.workers.engine.fsdp.transformer_impl import FSDPEngineWithLMHead

from permix_verl.checkpoints.nf4 import quantize_base, unpacked_weights
from permix_verl.errors import UserError


@EngineRegistry.register(model_type="language_model", backend="fsdp2", device=get_device_name(), vendor=get_vendor())  # type: ignore[untyped-decorator,unused-ignore]
class ReplicatedNF4Engine(FSDPEngineWithLMHead):  # type: ignore[misc,unused-ignore]
    """Base: frozen, NF4, replicated. LoRA: float32, sharded, gathered in the compute dtype."""

    def __init__(self, model_config: Any, engine_config: Any, optimizer_config: Any, checkpoint_config: Any) -> None:
        check_qlora_compatible(model_config, engine_config, checkpoint_config)
        super().__init__(model_config, engine_config, optimizer_config, checkpoint_config)
        self._autocast_dtype, self._reduce_dtype = precision(engine_config)

    def _build_module(self) -> Any:
        """Build verl's model and quantize it; rank 0 reads the weights and broadcasts them.

        Raises:
            UserError: some matrices cannot be quantized.
        """
        module = quantize_base(super()._build_module(), self._autocast_dtype, get_device_id(), _from_rank_0)
        left = unpacked_weights(module)
        if left:
            raise UserError(
                f"{len(left)} matrices of this model, such as {left[0]}, are not linear layers and would stay in "
                f"{self._autocast_dtype} on every GPU",
                "unset QLORA",
            )
        return module

    def _build_lora_module(self, module: Any) -> Any:
        """Create verl's adapter, cast it from the base's dtype to float32, and broadcast it from rank 0."""
        module = super()._build_lora_module(module)
        for parameter in trainable_parameters(module):
            parameter.data = parameter.data.float()
            _from_rank_0(parameter.data)
        return module

    def _build_fsdp_module(self, module: Any) -> Any:
        policy = MixedPrecisionPolicy(
            param_dtype=self._autocast_dtype, reduce_dtype=self._reduce_dtype, cast_forward_inputs=True
        )
        sharding = {
            "mesh": self.device_mesh,
            "mp_policy": policy,
            "reshard_after_forward": self.engine_config.reshard_after_forward,
            "ignored_params": {parameter for parameter in module.parameters() if not parameter.requires_grad},
        }
        apply_fsdp2(module, sharding, self.engine_config)
        return module

    def get_per_tensor_param(self, layered_summon: bool = False, base_sync_done: bool = False, **kwargs: Any) -> Any:
        """Return the adapter for the rollout engine, which reads its base from disk.

        Raises:
            UserError: the rollout engine requests the base, whose 4-bit weights it cannot read.
        """
        if not base_sync_done:
            raise UserError(
                "the rollout engine requests the base, which is NF4 here", "set rollout.load_format=safetensors"
            )
        return super().get_per_tensor_param(layered_summon=layered_summon, base_sync_done=True, **kwargs)


def precision(engine_config: Any) -> tuple[torch.dtype, torch.dtype]:
    """Return the dtypes of compute and of gradient reduction, with verl's defaults."""
    dtypes = engine_config.mixed_precision or {}
    compute, reduced = dtypes.get("param_dtype", "bf16"), dtypes.get("reduce_dtype", "fp32")
    return PrecisionType.to_dtype(compute), PrecisionType.to_dtype(reduced)


def trainable_parameters(module: Any) -> Iterable[Any]:
    """Return the parameters with gradients."""
    return (parameter for parameter in module.parameters() if parameter.requires_grad)


def check_qlora_compatible(model_config: Any, engine_config: Any, checkpoint_config: Any) -> None:
    """Refuse settings of verl's engine that are incompatible with an NF4 base.

    Raises:
        UserError: the first such setting.
    """
    compute, _ = precision(engine_config)
    refused = {
        "model.lora_rank=0": model_config.lora_rank < 1,
        "model.lora.merge=True": model_config.lora.get("merge", False),
        "model.enable_activation_offload=True": model_config.enable_activation_offload,
        "fsdp_config.offload_policy=True": engine_config.offload_policy,
        "fsdp_config.forward_only=True": engine_config.forward_only,
        "fsdp_config.qat.enable=True": engine_config.qat.enable,
        "fsdp_config.mixed_precision.param_dtype=fp16": compute == torch.float16,
        "checkpoint.save_lora_only=False": not checkpoint_config.save_lora_only,
    }
    for setting, is_set in refused.items():
        if is_set:
            raise UserError(f"QLoRA is incompatible with {setting}", "leave it as the recipe sets it, or unset QLORA")


def _from_rank_0(tensor: torch.Tensor) -> None:
    torch.distributed.broadcast(tensor, src=0)
