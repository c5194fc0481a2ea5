"""One rank of a training with verl's engine and a base in NF4; torchrun starts it, test_two_ranks.py reads it.

    torchrun --nproc_per_node=2 tests/support/qlora_rank.py MODEL ADAPTER OUT

Writes OUT/RANK.pt, the record of this rank.
"""

import hashlib
import importlib
import sys
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from verl.trainer.config import CheckpointConfig
from verl.utils.distributed import destroy_global_process_group, initialize_global_process_group
from verl.workers.config import FSDPEngineConfig, FSDPOptimizerConfig, HFModelConfig
from verl.workers.engine.base import EngineRegistry

from permix_verl.checkpoints.nf4 import packed_weights, quantize_base
from permix_verl.training.guards.effective_config import read_engine


def build(model: str, adapter: str) -> Any:
    engine = EngineRegistry.new(
        model_type="language_model",
        backend="fsdp2",
        model_config=HFModelConfig(
            path=model,
            lora_rank=5,
            lora_alpha=10,
            lora_adapter_path=adapter,
            use_remove_padding=False,
            enable_gradient_checkpointing=False,
            override_config={"attn_implementation": "sdpa"},
            external_lib="permix_verl.training.qlora.engine",
        ),
        engine_config=FSDPEngineConfig(
            strategy="fsdp2",
            mixed_precision={"param_dtype": "fp32", "reduce_dtype": "fp32"},
            use_torch_compile=False,
        ),
        optimizer_config=FSDPOptimizerConfig(
            lr=1e-2, clip_grad=0.1, total_training_steps=4, override_optimizer_config={"fused": True}
        ),
        checkpoint_config=CheckpointConfig(save_lora_only=True),
    )
    engine.initialize()
    return engine


def digest(model: Any) -> str:
    """Digest all 4-bit weights and their scales."""
    digest = hashlib.sha256()
    for weight in packed_weights(model).values():
        state = weight.quant_state
        for tensor in (weight, state.absmax, state.offset, state.state2.absmax):
            digest.update(tensor.detach().numpy().tobytes())
    return digest.hexdigest()


def tokens(rank: int) -> torch.Tensor:
    """Return a batch that differs between ranks, shape (2, 12)."""
    return torch.arange(24).reshape(2, 12) * (rank + 3) % 90 + 5


def backward(engine: Any) -> None:
    ids = tokens(dist.get_rank())
    engine.module(input_ids=ids, labels=ids).loss.backward()


def step(engine: Any) -> None:
    backward(engine)
    engine.optimizer_step()
    engine.optimizer_zero_grad()


def logits(engine: Any) -> torch.Tensor:
    with torch.no_grad():
        return engine.module(input_ids=tokens(0)).logits


def adapter_of(engine: Any) -> dict[str, torch.Tensor]:
    """Return the weights that the rollout engine receives."""
    return dict(engine.get_per_tensor_param(base_sync_done=True)[0])


def alone_and_shared() -> tuple[str, str]:
    """Return digests of rank-specific weights, quantized without and with a broadcast."""
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(vocab_size=64, hidden_size=64, intermediate_size=64, num_hidden_layers=1)
    found = []
    for share in (None, lambda tensor: dist.broadcast(tensor, src=0)):
        torch.manual_seed(dist.get_rank())
        found.append(digest(quantize_base(LlamaForCausalLM(config), torch.float32, "cpu", share)))
    return found[0], found[1]


def going_on_from_a_given_adapter(model: str, adapter: str, out: str) -> dict[str, Any]:
    """Record INIT_ADAPTER's reference before and after a step, with unsharded FSDP2 weights, and after a resume."""
    importlib.import_module("permix_verl.training.hooks.frozen_reference")  # as verl does, from model.external_lib

    engine = build(model, adapter)
    engine.module.set_reshard_after_forward(False)
    seen: dict[str, Any] = {"policy": [logits(engine)], "reference": []}

    def look(one: Any) -> None:
        seen["policy"].append(logits(one))
        with one.disable_adapter():
            seen["reference"].append(logits(one))
        seen["policy"].append(logits(one))

    look(engine)
    step(engine)
    look(engine)
    engine.save_checkpoint(str(Path(out) / "given"))
    file = Path(out) / "given" / f"model_world_size_{dist.get_world_size()}_rank_{dist.get_rank()}.pt"
    seen["saved"] = list(torch.load(file, weights_only=False))
    seen["sent"] = list(adapter_of(engine))
    resumed = build(model, adapter)
    resumed.load_checkpoint(str(Path(out) / "given"))
    look(resumed)
    return seen


def main() -> None:
    model, adapter, out = sys.argv[1:]
    initialize_global_process_group()
    engine = build(model, adapter)
    seen: dict[str, Any] = {
        "engine": type(engine).__name__,
        "kinds": {name: type(weight).__name__ for name, weight in engine.module.named_parameters()},
        "trained": [name for name, weight in engine.module.named_parameters() if weight.requires_grad],
        "digests": [digest(engine.module)],
        "precision": read_engine(engine)["precision"],
        "alone_and_shared": alone_and_shared(),
    }
    with engine.disable_adapter():
        seen["reference"] = [logits(engine)]
    seen["policy"] = [logits(engine)]
    backward(engine)
    seen["gradients"] = {
        name: weight.grad.full_tensor() for name, weight in engine.module.named_parameters() if weight.requires_grad
    }
    engine.optimizer_step()
    engine.optimizer_zero_grad()
    seen["digests"].append(digest(engine.module))
    with engine.disable_adapter():
        seen["reference"].append(logits(engine))
    seen["policy"].append(logits(engine))
    engine.save_checkpoint(str(Path(out) / "checkpoint"))
    seen["adapters"] = [adapter_of(engine)]
    step(engine)
    seen["adapters"].append(adapter_of(engine))
    resumed = build(model, adapter)
    resumed.load_checkpoint(str(Path(out) / "checkpoint"))
    seen["digests"].append(digest(resumed.module))
    seen["resumed"] = [adapter_of(resumed)]
    step(resumed)
    seen["resumed"].append(adapter_of(resumed))
    seen["given"] = going_on_from_a_given_adapter(model, adapter, out)
    torch.save(seen, Path(out) / f"{dist.get_rank()}.pt")
    destroy_global_process_group()


if __name__ == "__main__":
    main()
