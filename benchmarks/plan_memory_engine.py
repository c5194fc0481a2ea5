"""verl's FSDP2 engine with random weights, for plan_memory_measure.py."""

from typing import Any

from permix_verl.preflight.memory_plan.job import Job


def build_engine(folder: str, its: Job) -> Any:
    """Build the engine for the model whose configuration is in ``folder``, with its optimizer."""
    from verl.trainer.config import CheckpointConfig
    from verl.workers.config import FSDPEngineConfig, FSDPOptimizerConfig, HFModelConfig

    model = HFModelConfig(
        path=folder,
        load_tokenizer=False,
        lora_rank=its.lora_rank,
        target_modules=list(its.lora_targets),
        enable_gradient_checkpointing=its.checkpointing,
        use_remove_padding=False,
        override_config={"attn_implementation": "sdpa"},
    )
    engine = _engine_class(its)(
        model,
        FSDPEngineConfig(strategy="fsdp2", use_torch_compile=False),
        FSDPOptimizerConfig(lr=1e-5, total_training_steps=10, clip_grad=0.1, override_optimizer_config={"fused": True}),
        CheckpointConfig(),
    )
    engine._build_model_optimizer()
    return engine


def _engine_class(its: Job) -> Any:
    """Derive verl's engine with random weights."""
    import torch
    from transformers import AutoModelForCausalLM
    from verl.workers.engine.fsdp.transformer_impl import FSDPEngineWithLMHead

    class RandomWeights(FSDPEngineWithLMHead):
        """verl's engine with random weights."""

        def _build_module(self) -> Any:
            with torch.device("meta"):
                module = AutoModelForCausalLM.from_config(
                    self.model_config.hf_config, dtype=torch.float32, attn_implementation="sdpa"
                )
                if self.model_config.enable_gradient_checkpointing:
                    module.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
            return _nf4(module) if its.nf4 else module

        def _build_lora_module(self, module: Any) -> Any:
            return _with_adapter(its, module)

        def _build_fsdp_module(self, module: Any) -> Any:
            if its.nf4:
                from permix_verl.training.qlora.engine import ReplicatedNF4Engine

                self._autocast_dtype, self._reduce_dtype = torch.bfloat16, torch.float32
                return ReplicatedNF4Engine._build_fsdp_module(self, module)
            self._autocast_dtype = torch.bfloat16 if its.compute_bytes == 2 else torch.float32
            return _sharded(module, self._autocast_dtype, self.device_mesh, self.engine_config)

    return RandomWeights


def _with_adapter(its: Job, module: Any) -> Any:
    """Add LoRA as the recipes' initial adapter does, with dropout."""
    from peft import LoraConfig, get_peft_model

    module.enable_input_require_grads()
    adapter = LoraConfig(
        r=its.lora_rank,
        lora_dropout=its.lora_dropout,
        target_modules=list(its.lora_targets),
        task_type="CAUSAL_LM",
    )
    module = get_peft_model(module, adapter, low_cpu_mem_usage=not its.nf4)
    if its.nf4:
        for parameter in module.parameters():
            parameter.data = parameter.data.float() if parameter.requires_grad else parameter.data
    return module


def _sharded(module: Any, dtype: Any, mesh: Any, engine_config: Any) -> Any:
    """Shard by FSDP2 and fill the weights with random values."""
    import torch
    from torch.distributed.fsdp import MixedPrecisionPolicy
    from verl.utils.fsdp_utils import apply_fsdp2
    from verl.workers.engine.fsdp.transformer_impl import device_name

    policy = MixedPrecisionPolicy(param_dtype=dtype, reduce_dtype=torch.float32, cast_forward_inputs=True)
    apply_fsdp2(module, {"mesh": mesh, "mp_policy": policy, "reshard_after_forward": True}, engine_config)
    module.to_empty(device=device_name)
    for values in [*module.parameters(), *module.buffers()]:
        getattr(values, "_local_tensor", values).data.normal_(std=0.02)
    return module


def _nf4(module: Any) -> Any:
    """Quantize the base as our engine does; tensors on the meta device give only the shape."""
    import torch
    from verl.utils.device import get_device_id

    from permix_verl.checkpoints.nf4 import quantize_base

    def fill(tensor: torch.Tensor) -> None:
        tensor.normal_(std=0.02)

    return quantize_base(module, torch.bfloat16, get_device_id(), fill)
