"""verl's FSDP2 engine with a base in NF4 on every rank, as under the paper's DDP, and LoRA weights that FSDP2 shards.

    actor_rollout_ref.model.external_lib=permix_verl.training.qlora.engine      (model.external_lib in SFT)

verl imports that module in each of its processes before it chooses an engine, and prefers one that is registered for
the machine's vendor to one for its kind of device. Nothing of the base goes through FSDP: sharded 4-bit weights come
out wrong, in silence (bitsandbytes #1945, accelerate #3983).
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
    """Base: frozen, NF4, whole on each rank. LoRA: float32, sharded, gathered in the compute type."""

    def __init__(self, model_config: Any, engine_config: Any, optimizer_config: Any, checkpoint_config: Any) -> None:
        refuse_what_cannot_be(model_config, engine_config, checkpoint_config)
        super().__init__(model_config, engine_config, optimizer_config, checkpoint_config)
        self._autocast_dtype, self._reduce_dtype = precision(engine_config)

    def _build_module(self) -> Any:
        """verl's model, then quantised; rank 0 has read the weights, and the others get them from there.

        Raises:
            UserError: weights that should be in 4 bits are not.
        """
        module = quantize_base(super()._build_module(), self._autocast_dtype, get_device_id(), _from_rank_0)
        left = unpacked_weights(module)
        if left:
            raise UserError(
                f"{len(left)} matrices of this model are no linear layers, such as {left[0]}, and would stay in "
                f"{self._autocast_dtype} on every GPU; unset QLORA"
            )
        return module

    def _build_lora_module(self, module: Any) -> Any:
        """An adapter that verl makes itself has the base's type: here it is float32, and the same on all ranks."""
        module = super()._build_lora_module(module)
        for parameter in trained(module):
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
        """The adapter for the rollout engine, which has read a base of its own from disk.

        Raises:
            UserError: the base is asked for, and a rollout engine could make nothing of its bytes.
        """
        if not base_sync_done:
            raise UserError(
                "the rollout engine asks for the base, which is NF4 here; set rollout.load_format=safetensors"
            )
        return super().get_per_tensor_param(layered_summon=layered_summon, base_sync_done=True, **kwargs)


def precision(engine_config: Any) -> tuple[torch.dtype, torch.dtype]:
    """Types of the products and of the gradients' sum, with verl's defaults."""
    given = engine_config.mixed_precision or {}
    compute, reduced = given.get("param_dtype", "bf16"), given.get("reduce_dtype", "fp32")
    return PrecisionType.to_dtype(compute), PrecisionType.to_dtype(reduced)


def trained(module: Any) -> Iterable[Any]:
    """Parameters that have gradients."""
    return (parameter for parameter in module.parameters() if parameter.requires_grad)


def refuse_what_cannot_be(model_config: Any, engine_config: Any, checkpoint_config: Any) -> None:
    """Refuse settings of verl's engine that do not go with an NF4 base.

    Raises:
        UserError: the first of them.
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
    for setting, given in refused.items():
        if given:
            raise UserError(f"QLoRA does not go with {setting}; leave it as the recipe has it, or unset QLORA")


def _from_rank_0(tensor: torch.Tensor) -> None:
    torch.distributed.broadcast(tensor, src=0)
